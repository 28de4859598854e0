"""Several tests at once: p-values corrected so that the chance of any false alarm stays at the level (Holm 1979, Scandinavian J. Statistics 6:65)."""

from collections.abc import Sequence

__all__ = ["holm"]


def holm(p_values: Sequence[float]) -> list[float]:
    """The corrected p-values, in the order given: the k-th smallest of n times n - k + 1, never below a smaller one's, and at most 1.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected, largest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        largest = max(largest, min(p_values[index] * (len(p_values) - place), 1.0))
        corrected[index] = largest
    return corrected
