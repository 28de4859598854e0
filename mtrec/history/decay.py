"""Sums in which an event counts half for each half-life that it is old, the same bits however the log was cut.

    S(b) = sum over events of x 2^(-(b - t) / h)

With t / h = q + f, q whole and 0 <= f < 1, the weights are 2^f and powers of two, and multiplying by powers of two is exact. A running sum of
x 2^f 2^(q - anchor) over the events of a key in order of time has therefore the same digits for every anchor, and can be saved and continued.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

__all__ = ["MOST_HALF_LIVES", "Decay", "running"]

# The span of times that fits between the smallest and the largest float64, counts included.
MOST_HALF_LIVES = 1900
_HIGHEST = 950

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


class Decay:
    """Running sums relative to an anchor below the last of `times`.

    Args:
        half_life: in nanoseconds. times: those of all events that will be summed. [n]
    """

    def __init__(self, half_life: int, times: Whole) -> None:
        self.half_life = half_life
        self.anchor = (int(times.max()) // half_life if len(times) else 0) - _HIGHEST

    def terms(self, values: Whole, times: Whole) -> Floats:
        """What each event, or the events of one time together, adds. [n]"""
        grown = np.exp2(times % self.half_life / self.half_life)
        return np.ldexp(values * grown, self._exponents(times))

    def saved(self, sums: Floats, times: Whole) -> Floats:
        """Sums relative to the half-life in which their last event lies. [n]"""
        return np.ldexp(sums, -self._exponents(times))

    def restored(self, saved: Floats, times: Whole) -> Floats:
        """The inverse of `saved`. [n]"""
        return np.ldexp(saved, self._exponents(times))

    def at(self, sums: Floats, bounds: Whole) -> Floats:
        """What sums of events before the bounds have become by then. [n]"""
        shrunk = np.exp2(-(bounds % self.half_life) / self.half_life)
        return np.ldexp(sums * shrunk, -self._exponents(bounds))

    def _exponents(self, times: Whole) -> NDArray[np.int32]:
        return np.clip(times // self.half_life - self.anchor, -10_000, 10_000).astype(np.int32)


def running(keys: Whole, terms: Floats) -> Floats:
    """The sum of the terms of each key up to each place, one after the other: keys in runs. [n]"""
    return pl.DataFrame({"key": keys, "term": terms}).select(pl.col("term").cum_sum().over("key")).to_series().to_numpy()
