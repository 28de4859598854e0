"""Group AUC: how well the rows of a group are ranked among themselves, as a mean over the groups. The name says of which mean.

    GAUC = sum_g v_g AUC_g / sum_g v_g          over the groups that have both classes

    impressions   v_g = sum of the weights of the group's rows          (Zhou et al. 2018, KDD: Deep Interest Network)
    positives     v_g = sum of the weights of its positives
    macro         v_g = 1

A group of one class has no AUC and does not count, neither as 0.5 nor as 0; the shares of groups and impressions that count are facts of the value.
The AUC of each group is that of `auc`, with ties as halves. The macro mean over sessions is known as session AUC.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import binary_labels, groups_of_rows, numbers, row_weights
from mtrec.evaluation.metrics.groups import grouped_tallies
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["GroupAucs", "Mean", "gauc", "gauc_of", "group_aucs"]

Mean = Literal["impressions", "positives", "macro"]


class GroupAucs(NamedTuple):
    """The AUC of each group.

    Attributes:
        groups: [G] ids, ascending.
        auc: [G], NaN where the group has one class.
        positives: [G] weight of the positives.
        rows: [G] weight of all rows.
    """

    groups: NDArray[np.int64]
    auc: NDArray[np.float64]
    positives: NDArray[np.float64]
    rows: NDArray[np.float64]


def gauc(
    scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None, *, mean: Mean = "impressions", where: object = None
) -> Metric:
    """The mean of the groups' AUCs; undefined with no rows, or where no group has weight in both classes.

    Args:
        scores: [N] of any numeric type, probabilities or logits.
        labels: [N] 0 or 1, of any numeric type.
        groups: [N] ids of any whole numbers, see `group_ids`.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        mean: what weighs a group.
        where: what an error is to call the data.

    Raises:
        DataError: a score that is NaN, another label than 0 or 1, a bad weight, unequal lengths.
    """
    return gauc_of(group_aucs(scores, labels, groups, weights, where=where), mean)


def group_aucs(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> GroupAucs:
    """The AUC of each group that has weight, in one sort; arguments and errors as in `gauc`."""
    score = numbers(scores, "scores", where)
    positive = binary_labels(labels, len(score), where)
    group = groups_of_rows(groups, len(score), where)
    weight = row_weights(weights, len(score), where)
    if weight is not None and not (heavy := weight > 0).all():
        score, positive, group, weight = score[heavy], positive[heavy], group[heavy], weight[heavy]
    tallies = grouped_tallies(score, positive, group, weight)
    if not len(tallies.groups):
        return GroupAucs(tallies.groups, np.zeros(0), np.zeros(0), np.zeros(0))
    positives, negatives = tallies.sums(tallies.positives), tallies.sums(tallies.negatives)
    wins = tallies.sums(tallies.positives * (2 * tallies.inside(tallies.negatives) - tallies.negatives))
    pairs = 2.0 * positives * negatives
    aucs = np.divide(wins, pairs, out=np.full(len(wins), np.nan), where=pairs > 0)
    return GroupAucs(tallies.groups, aucs.clip(0, 1), positives.astype(np.float64), (positives + negatives).astype(np.float64))


def gauc_of(found: GroupAucs, mean: Mean) -> Metric:
    """The mean of AUCs that are known by group."""
    if not len(found.groups):
        return undefined("no rows")
    kept = ~np.isnan(found.auc)
    facts = {"groups_kept": float(kept.mean()), "impressions_kept": float(found.rows[kept].sum() / found.rows.sum())}
    if not kept.any():
        return undefined("no group has both classes", facts)
    weight = mean_weights(found, mean)[kept]
    return Metric(float((weight * found.auc[kept]).sum() / weight.sum()), facts=facts)


def mean_weights(found: GroupAucs, mean: Mean) -> NDArray[np.float64]:
    """What weighs each group [G] in the mean."""
    return {"impressions": found.rows, "positives": found.positives, "macro": np.ones(len(found.rows))}[mean]
