"""Root mean squared error, in the unit of the label.

RMSE = sqrt(sum_i w_i (p_i - y_i)^2 / sum_i w_i)
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from mtrec.errors import DataError
from mtrec.evaluation.metrics.checks import numbers, row_weights
from mtrec.evaluation.metrics.metric import Metric, weighted_mean

__all__ = ["rmse"]


def rmse(predictions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The root mean squared error, computed in float64; undefined with no rows, or where no row has weight.

    Args:
        predictions: [N] finite.
        labels: [N] finite.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a value that is not finite, a bad weight, unequal lengths.
    """
    found = numbers(predictions, "predictions", where).astype(np.float64)
    wanted = numbers(labels, "labels", where).astype(np.float64)
    if len(wanted) != len(found):
        raise DataError("The labels have another length than the predictions", where=where, found=len(wanted), expected=len(found))
    errors = found - wanted
    if num_bad := int(np.count_nonzero(~np.isfinite(errors))):
        raise DataError("Some predictions or labels are infinite", where=where, found=f"{num_bad} of {len(errors)} rows", expected="none")
    mean = weighted_mean(errors**2, row_weights(weights, len(errors), where))
    return mean if mean.value is None else Metric(math.sqrt(mean.value))
