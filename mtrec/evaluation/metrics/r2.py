"""Coefficient of determination: the share of the labels' variance that the predictions explain.

R2 = 1 - sum_i w_i (p_i - y_i)^2 / sum_i w_i (y_i - m)^2          m = sum_i w_i y_i / sum_i w_i
"""

import numpy as np
from numpy.typing import ArrayLike

from mtrec.evaluation.metrics.checks import errors_and_labels, row_weights
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["r2"]


def r2(predictions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The coefficient of determination; undefined with no rows, where no row has weight, or where all labels that have weight are equal.

    It is 0 for the labels' own mean as prediction, and below 0 for what is worse than that.

    Args:
        predictions: [N] finite.
        labels: [N] finite.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a value that is not finite, a bad weight, unequal lengths.
    """
    errors, wanted = errors_and_labels(predictions, labels, where)
    given = row_weights(weights, len(errors), where)
    weight = np.ones(len(errors)) if given is None else given
    if not len(errors):
        return undefined("no rows")
    heavy = weight > 0
    if not heavy.any():
        return undefined("no row has weight")
    if np.ptp(wanted[heavy]) == 0:
        return undefined("all labels are equal")
    spread = wanted - (weight * wanted).sum() / weight.sum()
    return Metric(1 - float((weight * errors**2).sum() / (weight * spread**2).sum()))
