"""XAUC: the share of pairs of rows that a regression puts in the order of their labels (Zhan et al. 2022, KDD: watch time).

    XAUC = sum_{i, j: y_i > y_j} w_i w_j ([p_i > p_j] + [p_i = p_j] / 2) / sum_{i, j: y_i > y_j} w_i w_j

Pairs with equal labels do not count, pairs with equal predictions count half. For labels of 0 and 1 it is the AUC.

No pair is looked at. With the rows sorted by label, what is out of order are inversions of the predictions' ranks. Two ranks first differ in one bit,
counted from the highest; rows with equal higher bits stand together, so one running sum a bit finds all pairs that differ there: O(N log N).
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import errors_and_labels, row_weights
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["xauc"]


def xauc(predictions: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The share of ordered pairs; undefined with no rows, or where all labels that have weight are equal. There is no interval.

    Args:
        predictions: [N] finite.
        labels: [N] finite.
        weights: [N] finite, 0 or above; None weighs all rows alike, and all sums are then whole numbers.
        where: what an error is to call the data.

    Raises:
        DataError: a value that is not finite, a bad weight, unequal lengths.
    """
    errors, wanted = errors_and_labels(predictions, labels, where)
    given = row_weights(weights, len(errors), where)
    weight: NDArray[Any] = np.ones(len(errors), dtype=np.int64) if given is None else given
    if not len(errors):
        return undefined("no rows")
    heavy = weight > 0
    label = np.unique(wanted[heavy], return_inverse=True)[1].astype(np.int64)
    rank = np.unique(np.asarray(predictions)[heavy], return_inverse=True)[1].astype(np.int64)
    weight = weight[heavy]
    if not len(weight):
        return undefined("no row has weight")
    if not label.any():
        return undefined("all labels are equal")
    both = label * (int(rank.max()) + 1) + rank
    order = np.argsort(both)  # Equal labels by rank: no inversions among them.
    num_bits = int(rank.max()).bit_length()
    pairs = _pairs(weight) - _tied(label, weight)
    lost = _inversions(rank[order], weight[order], num_bits)
    tied = _tied(rank, weight) - _tied(np.unique(both, return_inverse=True)[1], weight)
    return Metric(min(max(float(pairs - lost - tied / 2) / float(pairs), 0.0), 1.0))


def _pairs(weight: NDArray[Any]) -> Any:
    """Twice-counted pairs and the rows with themselves taken off: sum over i < j of w_i w_j."""
    total = weight.sum()
    return (total * total - (weight * weight).sum()) / 2 if weight.dtype.kind == "f" else (int(total) ** 2 - int((weight * weight).sum())) // 2


def _tied(values: NDArray[np.int64], weight: NDArray[Any]) -> Any:
    """Sum over the pairs with equal values of w_i w_j: values [N] from 0 on."""
    if weight.dtype.kind != "f":
        counts = np.bincount(values)
        return int((counts * (counts - 1) // 2).sum())
    totals, squares = np.bincount(values, weights=weight), np.bincount(values, weights=weight * weight)
    return ((totals * totals - squares) / 2).sum()


def _inversions(ranks: NDArray[np.int64], weight: NDArray[Any], num_bits: int) -> Any:
    """Sum over i < j with ranks_i > ranks_j of w_i w_j."""
    total: Any = 0
    for bit in range(num_bits - 1, -1, -1):
        higher = ranks >> (bit + 1)
        ones = ((ranks >> bit) & 1).astype(np.bool_)
        starts = np.flatnonzero(np.concatenate([[True], higher[1:] != higher[:-1]]))
        lengths = np.diff(starts, append=len(ranks))
        before = _since(starts, lengths, np.where(ones, weight, 0))
        total += (before[~ones] * weight[~ones]).sum()
        # The rows with 0 here go in front of those with 1, inside each stretch of equal higher bits and else as they stand.
        num_ones = _since(starts, lengths, ones.astype(np.int64))
        num_zeros = np.repeat(np.append(starts[1:], len(ranks)) - starts - np.add.reduceat(ones, starts, dtype=np.int64), lengths)
        places = np.where(ones, np.repeat(starts, lengths) + num_zeros + num_ones - 1, np.arange(len(ranks)) - num_ones)
        ranks, weight = _moved(ranks, places), _moved(weight, places)
    return total if weight.dtype.kind == "f" else int(total)


def _since(starts: NDArray[np.int64], lengths: NDArray[np.int64], values: NDArray[Any]) -> NDArray[Any]:
    """The running sum of values [N] from the start of each stretch."""
    sums = values.cumsum()
    return np.asarray(sums - np.repeat(sums[starts] - values[starts], lengths))


def _moved(values: NDArray[Any], places: NDArray[np.int64]) -> NDArray[Any]:
    moved = np.empty_like(values)
    moved[places] = values
    return moved
