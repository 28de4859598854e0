"""Rows of a log as plain numbers, by what they are; and a sample of them that does not grow with the log."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Rows", "SmallestHashes"]


class Rows(NamedTuple):
    """n rows.

    Attributes:
        numbers: by column, [n] float64, NaN where null.
        lengths: by list feature, [n] float64, how many values.
        ids: by single-valued id feature, [n] int64, a hash of the value, 0 where null.
        newest: by list feature, [n] int64, a hash of the last value, 0 where the list is empty.
        labels: by task, [n] float64, NaN where unknown.
        roles: by role: place [n] int64, the row's place in the log; time [n] float64, NaN where null; user and item [n] int64, hashes, 0 where null.
            Roles without a column are absent, but for the place.
    """

    numbers: dict[str, NDArray[np.float64]]
    lengths: dict[str, NDArray[np.float64]]
    ids: dict[str, NDArray[np.int64]]
    newest: dict[str, NDArray[np.int64]]
    labels: dict[str, NDArray[np.float64]]
    roles: dict[str, NDArray[Any]]

    @property
    def num_rows(self) -> int:
        return len(self.roles["place"])

    @property
    def counted(self) -> dict[str, NDArray[np.float64]]:
        """The numbers, and the length of each list."""
        return {**self.numbers, **{f"length of {name}": values for name, values in self.lengths.items()}}

    def take(self, chosen: NDArray[Any]) -> "Rows":
        return Rows(*({name: values[chosen] for name, values in part.items()} for part in self))

    def without_ids(self) -> "Rows":
        """Numbers, labels and roles alone."""
        return self._replace(lengths={}, ids={}, newest={})


def _concatenated(parts: list[Rows]) -> Rows:
    return Rows(*({name: np.concatenate([part[place][name] for part in parts]) for name in parts[0][place]} for place in range(len(Rows._fields))))


class SmallestHashes:
    """The rows of smallest hash, at most `limit`; rows of one hash stay or go together, so that the hash of a user keeps whole users.

    Which rows stay does not depend on the order in which they come.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._hashes: list[NDArray[np.uint64]] = []
        self._rows: list[Rows] = []
        self._num_rows = 0
        self._bound: np.uint64 | None = None

    def add(self, hashes: NDArray[np.uint64], rows: Rows) -> None:
        if self._bound is not None:
            below = hashes < self._bound
            hashes, rows = hashes[below], rows.take(below)
        self._hashes.append(hashes)
        self._rows.append(rows)
        self._num_rows += len(hashes)
        if self._num_rows > self.limit + self.limit // 4:
            self._trim()

    def result(self) -> Rows:
        """The rows that stayed, in the order of the log."""
        self._trim()
        rows = self._rows[0]
        return rows.take(np.argsort(rows.roles["place"]))

    def _trim(self) -> None:
        hashes, rows = np.concatenate(self._hashes), _concatenated(self._rows)
        if len(hashes) > self.limit:
            self._bound = np.partition(hashes, self.limit)[self.limit]
            below = hashes < self._bound
            hashes, rows = hashes[below], rows.take(below)
        self._hashes, self._rows, self._num_rows = [hashes], [rows], len(hashes)
