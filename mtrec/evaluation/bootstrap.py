"""The bootstrap: how much a metric would move if other users, or other rows, had been drawn (Efron 1979; by clusters: Field and Welsh 2007).

What is drawn with replacement are units, so that rows which belong together stay together: the declared groups, sessions for metrics of sessions,
and rows where no group is declared. A draw is the number of times that each unit comes; a statistic is a metric as a function of those numbers, so
that nothing is copied and each draw costs a few passes over arrays. Two models are drawn with the same numbers.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["MOST_UNITS", "Statistic", "counts_of_draws", "draws_of", "interval", "of_sums", "units_of_rows"]

MOST_UNITS = 1 << 17  # Rows beyond these share a unit with others: the spread of a mean is known well from so many.

Statistic = Callable[[NDArray[np.float64]], float]  # counts of the units [U] to the value; NaN where it is undefined


def units_of_rows(groups: NDArray[np.int64] | None, num_rows: int) -> tuple[NDArray[np.int64], int]:
    """The unit of each row, and how many units there are: the groups as whole numbers from 0 on, or else the rows."""
    if groups is None:
        return np.arange(num_rows) % MOST_UNITS, min(num_rows, MOST_UNITS)
    names, units = np.unique(groups, return_inverse=True)
    return units.astype(np.int64, copy=False), len(names)


def of_sums(terms: list[NDArray[np.float64]], units: NDArray[np.int64], num_units: int, value: Callable[..., float]) -> Statistic:
    """The statistic of a metric that is a function of sums over rows.

    Args:
        terms: K arrays [n], what is summed.
        units: [n] the unit of each.
        num_units: U.
        value: the metric from the K sums; NaN where it is undefined.
    """
    by_unit = np.stack([np.bincount(units, weights=term, minlength=num_units) for term in terms])
    return lambda counts: value(*(by_unit * counts).sum(1).tolist())


def counts_of_draws(num_units: int, num_draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each unit comes in each draw: `num_draws` arrays [U], the same for the same arguments."""
    random = np.random.default_rng([seed, num_units])
    for _ in range(num_draws):
        yield np.bincount(random.integers(0, num_units, num_units), minlength=num_units).astype(np.float64)


def draws_of(statistics: Mapping[Any, Statistic], num_units: int, num_draws: int, seed: int) -> dict[Any, NDArray[np.float64]]:
    """The values of statistics over the same units in each draw, [num_draws] each; NaN where one is undefined."""
    values: dict[Any, list[float]] = {name: [] for name in statistics}
    for counts in counts_of_draws(num_units, num_draws, seed) if num_units else ():
        for name, statistic in statistics.items():
            values[name].append(statistic(counts))
    return {name: np.array(found, dtype=np.float64) for name, found in values.items()}


def interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    """The 95 % percentile interval of draws; None if a draw in twenty has no value, or all have the same."""
    known = draws[~np.isnan(draws)]
    if not len(known) or len(known) < 0.95 * len(draws) or np.ptp(known) == 0:
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
