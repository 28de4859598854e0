"""Root mean squared error, in the unit of the label.

RMSE = sqrt(sum_i w_i (p_i - y_i)^2 / sum_i w_i)
"""

import math

from numpy.typing import ArrayLike

from mtrec.evaluation.metrics.checks import errors_and_labels, row_weights
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
    errors, _ = errors_and_labels(predictions, labels, where)
    mean = weighted_mean(errors**2, row_weights(weights, len(errors), where))
    return mean if mean.value is None else Metric(math.sqrt(mean.value))
