"""How often each value occurs, in each kind of row, in memory that does not grow with the log."""

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mtrec.hash64 import hash_int64

__all__ = ["Occurrences", "content_hash"]


def content_hash(table: pa.Table) -> NDArray[np.uint64]:
    """A hash of all that stands in each row; rows that are equal, nulls included, have one hash. [rows]"""
    for index, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):  # What a code stands for differs from slice to slice.
            table = table.set_column(index, field.name, table.column(index).cast(field.type.value_type))
    hashed = pl.DataFrame(table).hash_rows(seed=0).to_numpy().view(np.int64)
    return hash_int64(torch.from_numpy(hashed.copy())).numpy().view(np.uint64)


class Occurrences:
    """Counts of values, which are known by a hash of 64 bits.

    Exact up to `limit` distinct values. Beyond, only the values of smallest hash are kept, with all of their occurrences: shares and means
    over values are then estimates from an even sample of the values.

    Args:
        num_kinds: K, kinds of rows that are counted apart.
        limit: the most distinct values that are kept.
    """

    def __init__(self, num_kinds: int, limit: int = 500_000) -> None:
        self.num_kinds, self.limit = num_kinds, limit
        self._hashes: list[NDArray[np.uint64]] = []
        self._counts: list[NDArray[np.int64]] = []
        self._num_pending = 0
        self._bound: np.uint64 | None = None

    @property
    def exact(self) -> bool:
        return self._bound is None

    def add(self, hashes: NDArray[np.uint64], kinds: NDArray[Any]) -> None:
        """Count values: their hashes [n], and the kind of row of each, 0 to K - 1, [n]."""
        if self._bound is not None:
            below = hashes < self._bound
            hashes, kinds = hashes[below], kinds[below]
        found = pl.DataFrame({"hash": hashes, "kind": kinds}).group_by("hash", "kind").len()
        distinct, place = np.unique(found["hash"].to_numpy(), return_inverse=True)
        counts = np.zeros((len(distinct), self.num_kinds), dtype=np.int64)
        counts[place, found["kind"].to_numpy()] = found["len"].to_numpy()
        self._hashes.append(distinct)
        self._counts.append(counts)
        self._num_pending += len(distinct)
        if self._num_pending > 2 * self.limit:
            self._merge()

    def counts(self) -> NDArray[np.int64]:
        """How often each of the values that were kept occurs in each kind of row. [values, K]"""
        if not self._hashes:
            return np.zeros((0, self.num_kinds), dtype=np.int64)
        self._merge()
        return self._counts[0]

    def _merge(self) -> None:
        hashes, counts = np.concatenate(self._hashes), np.concatenate(self._counts)
        order = np.argsort(hashes, kind="stable")
        hashes, counts = hashes[order], counts[order]
        if len(hashes):
            starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
            hashes, counts = hashes[starts], np.add.reduceat(counts, starts, axis=0)
        if len(hashes) > self.limit:
            self._bound = hashes[self.limit]
            hashes, counts = hashes[: self.limit], counts[: self.limit]
        self._hashes, self._counts, self._num_pending = [hashes], [counts], len(hashes)
