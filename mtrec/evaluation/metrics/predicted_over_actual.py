"""Calibration in the large: how many positives were predicted for each that came.

predicted / actual = sum_i w_i p_i / sum_i w_i y_i
"""

import numpy as np
from numpy.typing import ArrayLike

from mtrec.evaluation.metrics.checks import binary_labels, in_unit_interval, row_weights
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["predicted_over_actual"]


def predicted_over_actual(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The sum of the probabilities over the sum of the labels, and both sums as facts; undefined with no rows, or where no positive has weight.

    Args:
        probabilities: [N] in [0, 1].
        labels: [N] 0 or 1, of any numeric type.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a probability that is NaN or outside [0, 1], another label than 0 or 1, a bad weight, unequal lengths.
    """
    scores = in_unit_interval(probabilities, where)
    positive = binary_labels(labels, len(scores), where)
    weight = row_weights(weights, len(scores), where)
    if not len(scores):
        return undefined("no rows")
    predicted = float((scores if weight is None else weight * scores).sum())
    actual = float(np.count_nonzero(positive)) if weight is None else float(weight[positive].sum())
    facts = {"predicted": predicted, "actual": actual}
    return Metric(predicted / actual, facts=facts) if actual > 0 else undefined("no positive has weight", facts)
