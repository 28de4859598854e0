"""Area under the precision-recall curve as average precision: exact, equal scores as one threshold, weights multiply.

    AP = sum_g (R_g - R_{g-1}) P_g          over the distinct scores, descending

with P_g and R_g the precision and recall of the rows that score at least the g-th. There is no interpolation between thresholds, which would
promise more than any threshold gives (Davis and Goadrich 2006, ICML).
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import binary_labels, numbers, row_weights
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["RankedRows", "average_precision", "pr_auc", "ranked"]


def pr_auc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The average precision; undefined with no rows, or where no positive has weight. A constant score gets the share of positives.

    Args:
        scores: [N] of any numeric type, probabilities or logits.
        labels: [N] 0 or 1, of any numeric type.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a score that is NaN, another label than 0 or 1, a bad weight, unequal lengths.
    """
    score = numbers(scores, "scores", where)
    positive = binary_labels(labels, len(score), where)
    weight = row_weights(weights, len(score), where)
    if not len(score):
        return undefined("no rows")
    if not (positive if weight is None else weight[positive]).any():
        return undefined("no label is 1" if weight is None else "no label is 1, of the rows that have weight")
    rows = ranked(score, positive)
    return Metric(average_precision(rows, np.ones(len(score)) if weight is None else weight[rows.order]))


class RankedRows(NamedTuple):
    """Attributes: order [N] of the rows, scores descending; last [G], the last place of each distinct score; positive [N] in that order."""

    order: NDArray[np.int64]
    last: NDArray[np.int64]
    positive: NDArray[np.bool_]


def ranked(scores: NDArray[Any], positive: NDArray[np.bool_]) -> RankedRows:
    """Rows by falling score: scores [N] without NaN, positive [N]."""
    order = np.argsort(scores)[::-1]
    sorted_scores = scores[order]
    last = np.append(np.flatnonzero(sorted_scores[1:] != sorted_scores[:-1]), len(scores) - 1)
    return RankedRows(order, last, positive[order])


def average_precision(rows: RankedRows, weight: NDArray[np.float64]) -> float:
    """The average precision under weights [N] in the order of the ranked rows; some positive must have weight."""
    true = np.where(rows.positive, weight, 0.0).cumsum()[rows.last]
    both = weight.cumsum()[rows.last]
    gains = np.diff(true, prepend=0.0)
    precision = np.divide(true, both, out=np.zeros_like(true), where=both > 0)
    return min(float((gains * precision).sum() / true[-1]), 1.0)
