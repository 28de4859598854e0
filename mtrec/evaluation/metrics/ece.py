"""Expected calibration error: how far mean prediction and share of positives lie apart, bin by bin.

    ECE = sum_b (W_b / W) |mean_b p - mean_b y| = sum_b |sum_{i in b} w_i (p_i - y_i)| / W

The value depends on the bins, so their scheme is part of the name: `equal_count` bins hold equal weight, and equal scores share the bin in which
the middle of their weight lies; `equal_width` cuts [0, 1] into equal parts, the last closed on both sides. Chance alone keeps it above zero, the
more so the fewer rows a bin has, and resampling adds chance: there is no interval.
"""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import binary_labels, in_unit_interval, row_weights
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["ece", "equal_count_bins"]

NUM_BINS = 15


def ece(
    probabilities: ArrayLike,
    labels: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bins: Literal["equal_count", "equal_width"],
    num_bins: int = NUM_BINS,
    where: object = None,
) -> Metric:
    """The expected calibration error, with the number of bins that hold rows as a fact; undefined with no rows, or where no row has weight.

    Args:
        probabilities: [N] in [0, 1].
        labels: [N] 0 or 1, of any numeric type.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        bins: the scheme.
        num_bins: how many bins there may be.
        where: what an error is to call the data.

    Raises:
        DataError: a probability that is NaN or outside [0, 1], another label than 0 or 1, a bad weight, unequal lengths.
    """
    scores = in_unit_interval(probabilities, where)
    positive = binary_labels(labels, len(scores), where)
    given = row_weights(weights, len(scores), where)
    weight = np.ones(len(scores)) if given is None else given
    if not len(scores):
        return undefined("no rows")
    if not (total := float(weight.sum())) > 0:
        return undefined("no row has weight")
    equal_width = np.minimum((scores * num_bins).astype(np.int64), num_bins - 1)
    bin_of_row = equal_count_bins(scores, weight, num_bins) if bins == "equal_count" else equal_width
    gaps = np.bincount(bin_of_row, weights=weight * (scores - positive))
    used = np.count_nonzero(np.bincount(bin_of_row, weights=weight))
    return Metric(float(np.abs(gaps).sum()) / total, facts={"bins": float(used)})


def equal_count_bins(scores: NDArray[np.float64], weight: NDArray[np.float64], num_bins: int) -> NDArray[np.int64]:
    """The bin of each row, [N] below `num_bins`; some may stay empty. `weight` [N] is above 0 for some row."""
    values, inverse = np.unique(scores, return_inverse=True)
    weights = np.bincount(inverse, weights=weight, minlength=len(values))
    middle = weights.cumsum() - weights / 2
    bins = np.minimum((middle * num_bins / weights.sum()).astype(np.int64), num_bins - 1)
    return np.asarray(bins[inverse], dtype=np.int64)
