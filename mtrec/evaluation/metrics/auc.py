"""Area under the ROC curve, exact: ties count half, weights multiply, nothing is binned.

    AUC = sum_ij w_i w_j ([s_i > s_j] + [s_i = s_j] / 2) / (sum_i w_i * sum_j w_j)      i over positives, j over negatives

One sort is enough. Let p_g and n_g be the positives and negatives of the g-th distinct score, ascending, and N_g, P_g those below it:

    2 * U = sum_g p_g (2 N_g + n_g)          AUC = 2 U / (2 m n)          m positives, n negatives

which are integers, so that the value does not depend on the order of the rows in any bit.

The interval is DeLong's (DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44:837; in one sort: Sun and Xu 2014). With the share of negatives
that a positive beats, and the share of positives that beat a negative,

    V10_i = (N_g + n_g / 2) / n          V01_j = 1 - (P_g + p_g / 2) / m          Var = S10 / m + S01 / n

where S is the sample variance of the shares (divided by m - 1 and n - 1), the interval is AUC -+ 1.96 sqrt(Var), clipped to [0, 1].
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import binary_labels, numbers, row_weights
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["auc", "tallies"]

NORMAL_QUANTILE = 1.959963984540054  # of .975
BLOCK = 1 << 16  # rows tallied at once, so that they stay in the cache


def auc(scores: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The chance that a positive row scores above a negative one, with its 95 % interval.

    Undefined with no rows, with one class only, or where a class has no weight. There is no interval with unequal weights, with fewer than
    two rows of a class, or where the AUC is exactly 0 or 1, at which DeLong's variance is zero and says nothing. The interval rests on the
    normal approximation and treats rows as independent: trust it little below some ten rows of a class. Without weights, or with equal
    ones, the result is the same to the last bit for any order of the rows.

    Args:
        scores: [N] of any numeric type, probabilities or logits; infinite ones are ordered as such. float16 and float32 take the fast path.
        labels: [N] 0 or 1, of any numeric type.
        weights: [N] finite, 0 or above; equal weights are the same as None, and a row of weight 0 does not count.
        where: what an error is to call the data.

    Raises:
        DataError: a score that is NaN, another label than 0 or 1, a bad weight, unequal lengths.
    """
    score = numbers(scores, "scores", where)
    positive = binary_labels(labels, len(score), where)
    weight = row_weights(weights, len(score), where)
    if not len(score):
        return undefined("no rows")
    if reason := _one_class(positive):
        return undefined(reason)
    if weight is not None:
        heavy = weight > 0
        if not heavy.all():
            score, positive, weight = score[heavy], positive[heavy], weight[heavy]
        if reason := _one_class(positive):
            return undefined(f"{reason}, of the rows that have weight")
        if (weight != weight[0]).any():
            return Metric(_weighted(score, positive, weight))
    return _unweighted(score, positive)


def _one_class(positive: NDArray[np.bool_]) -> str | None:
    num_positives = int(np.count_nonzero(positive))
    if 0 < num_positives < len(positive):
        return None
    return "one class: no label is 1" if num_positives == 0 else "one class: no label is 0"


class _Moments(NamedTuple):
    wins: int = 0  # 2 U
    squares_positive: float = 0.0  # sum over positives of (2 n V10)^2
    squares_negative: float = 0.0  # sum over negatives of (2 m (1 - V01))^2


def _unweighted(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Metric:
    m = int(np.count_nonzero(positive))
    n = len(positive) - m
    positives_below = negatives_below = 0
    moments = _Moments()
    for positives, negatives in tallies(scores, positive):
        positives_end, negatives_end = positives.cumsum() + positives_below, negatives.cumsum() + negatives_below
        positives_below, negatives_below = int(positives_end[-1]), int(negatives_end[-1])
        won = 2 * negatives_end - negatives
        lost = 2 * positives_end - positives
        # Sums of products, not `@`: BLAS would wake all its threads for each block, and its order of summation is its own affair.
        positive_wins = positives * won
        moments = _Moments(
            moments.wins + int(positive_wins.sum()),
            moments.squares_positive + float((positive_wins * won.astype(np.float64)).sum()),
            moments.squares_negative + float((negatives * lost * lost.astype(np.float64)).sum()),
        )
    value = moments.wins / (2 * m * n)
    if m < 2 or n < 2 or value in (0.0, 1.0):
        return Metric(value)
    variance_positive = max(moments.squares_positive / (4 * n * n) - m * value**2, 0.0) / (m - 1)
    variance_negative = max(moments.squares_negative / (4 * m * m) - n * (1 - value) ** 2, 0.0) / (n - 1)
    half_width = NORMAL_QUANTILE * math.sqrt(variance_positive / m + variance_negative / n)
    return Metric(value, max(value - half_width, 0.0), min(value + half_width, 1.0))


def _weighted(scores: NDArray[Any], positive: NDArray[np.bool_], weights: NDArray[np.float64]) -> float:
    order = np.argsort(scores)
    sorted_scores, sorted_weights = scores[order], weights[order]
    starts = np.flatnonzero(np.concatenate([[True], sorted_scores[1:] != sorted_scores[:-1]]))
    positives = np.add.reduceat(np.where(positive[order], sorted_weights, 0.0), starts)
    negatives = np.add.reduceat(np.where(positive[order], 0.0, sorted_weights), starts)
    negatives_end = negatives.cumsum()
    value = float((positives * (negatives_end - negatives / 2)).sum()) / (float(positives.sum()) * float(negatives_end[-1]))
    return min(max(value, 0.0), 1.0)


def tallies(scores: NDArray[Any], positive: NDArray[np.bool_]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Positives and negatives [G] of each distinct score, ascending, in blocks; scores [N] without NaN, positive [N]."""
    if scores.dtype in (np.float16, np.float32):
        for keys in _packed(scores.astype(np.float32, copy=False), positive):
            for start, end in _blocks(keys, 1):
                yield _tally(keys[start:end] >> 1, keys[start:end] & 1)
    else:
        order = np.argsort(scores)
        sorted_scores, sorted_positive = scores[order], positive[order]
        for start, end in _blocks(sorted_scores, 0):
            yield _tally(sorted_scores[start:end], sorted_positive[start:end])


def _packed(scores: NDArray[np.float32], positive: NDArray[np.bool_]) -> Iterator[NDArray[np.uint32]]:
    """Sorted keys (31 bits that order the scores, 1 bit of label), those of negative scores first.

    The bits of a float without its sign rise with its size, so a score and a label fit into 32 bits once the sign is known from elsewhere,
    and plain integers of 32 bits sort several times faster than anything that carries an index along. The shift drops the sign of -0, too.
    """
    keys = scores.view(np.uint32) << np.uint32(1)
    keys |= positive
    if scores.min() < 0:
        below = scores < 0
        lower = keys[below] ^ np.uint32(0xFFFFFFFE)  # all but the label: the larger a negative score, the smaller its size
        lower.sort()
        yield lower
        keys = keys[~below]
    keys.sort()
    yield keys


def _blocks(ordered: NDArray[Any], label_bits: int) -> Iterator[tuple[int, int]]:
    """Bounds of stretches of sorted scores or keys, each about a block long, with equal scores in one stretch."""
    start = 0
    while start < len(ordered):
        last = ordered[min(start + BLOCK, len(ordered)) - 1]
        end = int(np.searchsorted(ordered, last | label_bits if label_bits else last, side="right"))
        yield start, end
        start = end


def _tally(scores: NDArray[Any], positive: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    starts = np.concatenate([[0], np.flatnonzero(scores[1:] != scores[:-1]) + 1])
    positives = np.add.reduceat(positive, starts, dtype=np.int64)
    return positives, np.diff(starts, append=len(scores)) - positives
