"""What the first k rows of each group are worth, as a mean over the groups that have a positive; equal scores count as all their orders on average.

    NDCG@k   = sum_{i <= k} y_i / log2(i + 1), over the same sum with the positives first          (Järvelin and Kekäläinen 2002, TOIS)
    recall@k = positives among the first k / positives

Rows that tie have no order of their own, and any fixed one would favour whoever sorted the log. Both sums are linear in the labels, so that their
mean over all orders of t tied rows with p positives at ranks r + 1 .. r + t is p / t times the sum of the discounts there: exact, without chance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import binary_labels, groups_of_rows, numbers
from mtrec.evaluation.metrics.groups import grouped_tallies
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["GroupValues", "mean_of_groups", "ndcg", "ndcg_by_group", "recall", "recall_by_group"]


class GroupValues(NamedTuple):
    """Attributes: groups [G] ids, ascending; values [G], NaN where the group has no positive."""

    groups: NDArray[np.int64]
    values: NDArray[np.float64]


def ndcg(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, k: int = 10, *, where: object = None) -> Metric:
    """The mean NDCG@k of the groups, with the share of groups that count; undefined with no rows, or where no group has a positive.

    Args:
        scores: [N] of any numeric type, probabilities or logits.
        labels: [N] 0 or 1, of any numeric type.
        groups: [N] ids of any whole numbers, see `group_ids`.
        k: how many rows of a group are looked at.
        where: what an error is to call the data.

    Raises:
        DataError: a score that is NaN, another label than 0 or 1, unequal lengths.
    """
    return mean_of_groups(ndcg_by_group(scores, labels, groups, k, where=where))


def recall(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, k: int = 10, *, where: object = None) -> Metric:
    """The mean recall@k of the groups; arguments, errors and where it is undefined as in `ndcg`."""
    return mean_of_groups(recall_by_group(scores, labels, groups, k, where=where))


def ndcg_by_group(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, k: int = 10, *, where: object = None) -> GroupValues:
    """The NDCG@k of each group; arguments and errors as in `ndcg`."""
    discounts = 1 / np.log2(np.arange(k) + 2)
    found, gains, positives = _gains(scores, labels, groups, discounts, where)
    best = np.concatenate([[0], discounts.cumsum()])[np.minimum(positives, k)]
    return GroupValues(found, np.divide(gains, best, out=np.full(len(gains), np.nan), where=positives > 0))


def recall_by_group(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, k: int = 10, *, where: object = None) -> GroupValues:
    """The recall@k of each group; arguments and errors as in `ndcg`."""
    found, gains, positives = _gains(scores, labels, groups, np.ones(k), where)
    return GroupValues(found, np.divide(gains, positives, out=np.full(len(gains), np.nan), where=positives > 0))


def mean_of_groups(found: GroupValues) -> Metric:
    """The plain mean of what is known by group."""
    if not len(found.groups):
        return undefined("no rows")
    kept = ~np.isnan(found.values)
    facts = {"groups_kept": float(kept.mean())}
    return Metric(float(found.values[kept].mean()), facts=facts) if kept.any() else undefined("no group has a positive", facts)


def _gains(
    scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, discounts: NDArray[np.float64], where: object
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Ids of the groups, the mean discounted gain of each, and its positives. [G] each"""
    score = numbers(scores, "scores", where)
    positive = binary_labels(labels, len(score), where)
    tallies = grouped_tallies(score, positive, groups_of_rows(groups, len(score), where))
    if not len(tallies.groups):
        return tallies.groups, np.zeros(0), tallies.groups
    rows = tallies.positives + tallies.negatives
    lengths = np.diff(tallies.starts, append=len(rows))
    above = np.repeat(tallies.sums(rows), lengths) - tallies.inside(rows)
    up_to = np.concatenate([[0], discounts.cumsum()])
    k = len(discounts)
    worth = up_to[np.minimum(above + rows, k)] - up_to[np.minimum(above, k)]
    return tallies.groups, tallies.sums(tallies.positives * worth / rows), tallies.sums(tallies.positives)
