"""NDCG@k of rows that are worth more or less: gains of any size in place of labels; equal scores count as all their orders on average.

    NDCG@k = sum_{i <= k} g_i / log2(i + 1), over the same sum with the largest gains first          (Järvelin and Kekäläinen 2002, TOIS)

The gains are taken as they are. With gains of 0 and 1 it is `ndcg`, and as there, tied rows share the mean of the discounts of their ranks.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import groups_of_rows, numbers
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["graded_ndcg"]


def graded_ndcg(scores: ArrayLike, gains: ArrayLike, groups: ArrayLike, k: int = 10, *, where: object = None) -> Metric:
    """The mean NDCG@k of the groups that have a gain; undefined with no rows, where no group has one, and where a gain is below 0.

    Args:
        scores: [N] of any numeric type.
        gains: [N] finite.
        groups: [N] ids of any whole numbers.
        k: how many rows of a group are looked at.
        where: what an error is to call the data.

    Raises:
        DataError: a score or gain that is NaN, unequal lengths.
    """
    score, gain = numbers(scores, "scores", where), numbers(gains, "gains", where).astype(np.float64)
    group = groups_of_rows(groups, len(score), where)
    if not len(score):
        return undefined("no rows")
    if gain.min() < 0:
        return undefined("some gains are below 0")
    of_row = np.unique(group, return_inverse=True)[1]
    reached, best = _discounted(score, gain, of_row, k), _discounted(gain, gain, of_row, k)
    kept = best > 0
    facts = {"groups_kept": float(kept.mean())}
    return Metric(float((reached[kept] / best[kept]).mean()), facts=facts) if kept.any() else undefined("no group has a gain", facts)


def _discounted(score: NDArray[np.generic], gain: NDArray[np.float64], group: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """The mean discounted gain of each group's first k rows. [G]"""
    order = np.lexsort((-score.astype(np.float64), group))
    ranked, of_row = score[order], group[order]
    starts_group = np.concatenate([[True], of_row[1:] != of_row[:-1]])
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(starts_group, np.arange(len(order)), 0))
    tie = np.cumsum(starts_group | np.concatenate([[True], ranked[1:] != ranked[:-1]])) - 1
    discount = np.where(rank < k, 1 / np.log2(rank + 2), 0.0)
    mean_discount = np.bincount(tie, weights=discount) / np.bincount(tie)
    return np.bincount(of_row, weights=gain[order] * mean_discount[tie]).astype(np.float64, copy=False)
