"""Mean absolute error, in the unit of the label.

MAE = sum_i w_i |p_i - y_i| / sum_i w_i
"""

import numpy as np
from numpy.typing import ArrayLike

from mtrec.evaluation.metrics.checks import errors_and_labels, row_weights
from mtrec.evaluation.metrics.metric import Metric, weighted_mean

__all__ = ["mae"]


def mae(predictions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The mean absolute error, computed in float64; undefined with no rows, or where no row has weight.

    Args:
        predictions: [N] finite.
        labels: [N] finite.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a value that is not finite, a bad weight, unequal lengths.
    """
    errors, _ = errors_and_labels(predictions, labels, where)
    return weighted_mean(np.abs(errors), row_weights(weights, len(errors), where))
