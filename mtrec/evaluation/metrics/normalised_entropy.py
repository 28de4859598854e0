"""Normalised entropy: the log loss as a share of what the mean label alone would get (He et al. 2014, ADKDD).

    NE = log loss / H(b)          H(b) = -b log b - (1 - b) log(1 - b)          b = sum_i w_i y_i / sum_i w_i

with b of the judged rows themselves, not of train: a model that always says b has exactly 1, and less is better.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from mtrec.evaluation.metrics.checks import binary_labels, in_unit_interval, row_weights
from mtrec.evaluation.metrics.log_loss import losses_of
from mtrec.evaluation.metrics.metric import Metric, undefined, weighted_mean

__all__ = ["normalised_entropy"]


def normalised_entropy(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The log loss over the entropy of the labels; undefined with no rows, where no row has weight, or where those that have are of one class.

    Args:
        probabilities: [N] in [0, 1], clipped as in `log_loss`.
        labels: [N] 0 or 1, of any numeric type.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a probability that is NaN or outside [0, 1], another label than 0 or 1, a bad weight, unequal lengths.
    """
    scores = in_unit_interval(probabilities, where)
    positive = binary_labels(labels, len(scores), where)
    weight = row_weights(weights, len(scores), where)
    loss, share = weighted_mean(losses_of(scores, positive), weight), weighted_mean(positive.astype(np.float64), weight)
    if loss.value is None or share.value is None:
        return loss
    b = share.value
    if b in (0.0, 1.0):
        return undefined("one class: the labels have no entropy")
    return Metric(loss.value / -(b * math.log(b) + (1 - b) * math.log1p(-b)))
