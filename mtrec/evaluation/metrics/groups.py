"""Groups of rows, such as the impressions of a user on a day: their ids, and the tallies of a metric that ranks inside each of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrec.errors import DataError
from mtrec.evaluation.metrics.sorting import in_order_of_size

__all__ = ["GroupedTallies", "group_ids", "grouped_tallies"]


def group_ids(columns: Sequence[NDArray[Any]]) -> NDArray[np.int64]:
    """One id a row for the combination of its values, [N] int64, from 0 without gaps.

    >>> group_ids([np.array(["b", "a", "b"]), np.array([1, 1, 1])])
    array([1, 0, 1])

    Args:
        columns: one or more arrays [N] that can be sorted.

    Raises:
        DataError: if there is no column, or their lengths differ.
    """
    if len({len(column) for column in columns}) != 1:
        raise DataError("Columns that make groups have one length", found=[len(column) for column in columns])
    combined = np.unique(columns[0], return_inverse=True)[1]
    for column in columns[1:]:
        values, inverse = np.unique(column, return_inverse=True)
        # Below the square of the number of rows, so that it fits.
        combined = np.unique(combined.astype(np.int64) * len(values) + inverse, return_inverse=True)[1]
    return combined.astype(np.int64, copy=False)


class GroupedTallies(NamedTuple):
    """The positives and negatives of each distinct score of each group: groups ascending, scores ascending in each.

    Attributes:
        groups: [G] ids of the groups.
        starts: [G] where each group's tallies start.
        positives: [K] weight of the positives that have the score; whole numbers without weights.
        negatives: [K] weight of the negatives.
    """

    groups: NDArray[np.int64]
    starts: NDArray[np.int64]
    positives: NDArray[Any]
    negatives: NDArray[Any]

    def sums(self, tallies: NDArray[Any]) -> NDArray[Any]:
        """[K] to its sum in each group [G]; there must be one."""
        return np.asarray(np.add.reduceat(tallies, self.starts))

    def inside(self, tallies: NDArray[Any]) -> NDArray[Any]:
        """[K] to its sum from the start of the group up to and with each place [K]."""
        ends = tallies.cumsum()
        lengths = np.diff(self.starts, append=len(tallies))
        return np.asarray(ends - np.repeat(ends[self.starts] - tallies[self.starts], lengths))


def grouped_tallies(
    scores: NDArray[Any], positive: NDArray[np.bool_], groups: NDArray[np.int64], weights: NDArray[np.float64] | None = None
) -> GroupedTallies:
    """Count inside groups: scores [N] without NaN, positive [N], groups [N], weights [N] or None.

    A group's id, a score of 32 bits and a label fit into one key of 64 bits: sorting those takes a fraction of sorting by two columns.
    """
    if not len(scores):
        nothing = np.zeros(0, dtype=np.int64)
        return GroupedTallies(nothing, nothing, nothing, nothing)
    names = groups
    if groups.min() < 0 or groups.max() >= 2**31:
        values, groups = np.unique(groups, return_inverse=True)
    packed = _packed(scores, groups) if scores.dtype in (np.float16, np.float32) else None
    if packed is not None and weights is None:
        keys = np.sort((packed << np.uint64(1)) | positive)
        label, key = (keys & np.uint64(1)).astype(np.int64), keys >> np.uint64(1)
        group, new = (key >> np.uint64(32)).astype(np.int64), key[1:] != key[:-1]
        weight: NDArray[Any] = np.ones(len(key), dtype=np.int64)
    else:
        order = np.argsort(packed) if packed is not None else np.lexsort((scores, groups))
        group, label = groups[order], positive[order].astype(np.int64)
        new = (group[1:] != group[:-1]) | (scores[order][1:] != scores[order][:-1])
        weight = np.ones(len(order), dtype=np.int64) if weights is None else weights[order]
    places = np.concatenate([[0], np.flatnonzero(new) + 1])
    positives, all_rows = np.add.reduceat(label * weight, places), np.add.reduceat(weight, places)
    negatives = all_rows - positives if weights is None else np.add.reduceat((1 - label) * weight, places)
    of_tally = group[places]
    starts = np.concatenate([[0], np.flatnonzero(of_tally[1:] != of_tally[:-1]) + 1])
    ids = of_tally[starts] if names is groups else values[of_tally[starts]]
    return GroupedTallies(ids, starts, positives, negatives)


def _packed(scores: NDArray[Any], groups: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Keys of 63 bits: the group, then the score as a whole number in the same order."""
    ordered = in_order_of_size(scores.astype(np.float32, copy=False))
    return (groups.astype(np.uint64) << np.uint64(32)) | ordered
