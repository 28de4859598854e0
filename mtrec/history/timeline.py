"""Events in the order of key and instant, and how many of them lie before a bound."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["BEFORE_ALL", "Timeline", "spread"]

# The instant of what stands for all events of a key before those that are still told apart.
BEFORE_ALL = -(2**63) + 1

Whole = NDArray[np.int64]


class Timeline:
    """m events sorted by the number of their key, then by instant.

    Key and instant are packed into one whole number, so that a sort and binary searches of plain int64 do all the work. The order of ties is
    that in which the events came.

    Attributes: order [m], which event is the i-th; codes [m], their packed numbers; starts [num_keys + 1], where the events of each key begin.
    """

    def __init__(self, keys: Whole, instants: Whole, num_keys: int) -> None:
        told = instants[instants > BEFORE_ALL]
        self._low, self._high = (int(told.min()), int(told.max())) if len(told) else (0, 0)
        self._tick = next((tick for tick in (10**9, 10**6, 10**3) if not ((told - self._low) % tick).any()), 1)
        self._known: Whole | None = None
        self._size = (self._high - self._low) // self._tick + 3
        if num_keys * self._size >= 2**62:  # Too fine a clock for so long a time: instants are numbered instead.
            self._known = np.unique(told)
            self._size = len(self._known) + 2
        codes = self.code(keys, instants)
        codes[instants == BEFORE_ALL] -= 1
        self.order = np.argsort(codes, kind="stable")
        self.codes = codes[self.order]
        self.starts = np.searchsorted(self.codes, np.arange(num_keys + 1) * self._size)

    def code(self, keys: Whole, bounds: Whole) -> Whole:
        """The packed number of each key and bound: the events of that key before the bound have lower ones. [n]"""
        if self._known is not None:
            return keys * self._size + 1 + np.searchsorted(self._known, bounds)
        inside = np.clip(bounds, self._low, self._high + 1) - self._low
        return keys * self._size + 1 - (-inside // self._tick)

    def before(self, codes: Whole) -> Whole:
        """How many events have lower packed numbers; fastest where `codes` are sorted. [n]"""
        return np.searchsorted(self.codes, codes)


def spread(starts: Whole, lengths: Whole) -> Whole:
    """The places start, start + 1, .. of each run, one run after the other. [sum of lengths]

    >>> spread(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    ends = np.cumsum(lengths)
    places: Whole = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return places
