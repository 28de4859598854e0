"""Two scores of the same rows: the difference of their AUCs and its standard error (DeLong, DeLong, Clarke-Pearson 1988, Biometrics 44:837).

With V10_i the share of negatives that positive i beats, V01_j the share of positives that beat negative j, ties as halves, and d the difference of
these between the two scores, the AUCs differ by mean(d10) = mean(d01) and

    Var = S(d10) / m + S(d01) / n          S the sample variance, m positives, n negatives

which takes in that both scores are of the same rows: two scores that order the rows alike differ by 0 with a standard error of 0.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.errors import DataError
from mtrec.evaluation.metrics.auc import one_class
from mtrec.evaluation.metrics.checks import binary_labels, numbers

__all__ = ["Difference", "auc_difference"]


class Difference(NamedTuple):
    """Attributes: value, the first less the second; error, its standard error, None where it cannot be told; reason, why there is no value."""

    value: float | None
    error: float | None
    reason: str | None = None


def auc_difference(first: ArrayLike, second: ArrayLike, labels: ArrayLike, *, where: object = None) -> Difference:
    """The AUC of the first scores less that of the second; undefined with no rows or one class, without error below two rows of a class.

    Args:
        first, second: [N] of any numeric type; the two need not be on one scale.
        labels: [N] 0 or 1, of any numeric type.
        where: what an error is to call the data.

    Raises:
        DataError: a score that is NaN, another label than 0 or 1, unequal lengths.
    """
    a, b = numbers(first, "scores", where), numbers(second, "scores", where)
    if len(a) != len(b):
        raise DataError("The two models scored different numbers of rows", where=where, found=len(b), expected=len(a))
    positive = binary_labels(labels, len(a), where)
    m = int(np.count_nonzero(positive))
    n = len(positive) - m
    if not len(positive):
        return Difference(None, None, "no rows")
    if reason := one_class(m, n):
        return Difference(None, None, reason)
    d10, d01 = (x - y for x, y in zip(_placements(a, positive), _placements(b, positive), strict=True))
    # Sums of whole numbers and halves first: equal orders differ by exactly 0.
    value = float(d10.sum()) / (m * n)
    if m < 2 or n < 2:
        return Difference(value, None)
    return Difference(value, math.sqrt(float(d10.var(ddof=1)) / n**2 / m + float(d01.var(ddof=1)) / m**2 / n))


def _placements(scores: NDArray[Any], positive: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """n V10 of each positive [m] and m V01 of each negative [n], exact in halves."""
    values, inverse = np.unique(scores, return_inverse=True)
    positives = np.bincount(inverse[positive], minlength=len(values))
    negatives = np.bincount(inverse[~positive], minlength=len(values))
    won = negatives.cumsum() - negatives / 2
    beaten_by = positives.sum() - (positives.cumsum() - positives / 2)
    return won[inverse[positive]], beaten_by[inverse[~positive]]
