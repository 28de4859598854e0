"""What is gathered from train rows, batch after batch, until everything is fitted: counts of ids, and a sample of numbers.

Neither depends on the order of the rows or of the files.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["Counts", "Sample"]


class Counts:
    """How often each id was seen; memory grows with the number of distinct ids only."""

    def __init__(self) -> None:
        self._pending: list[pa.Table] = []
        self._num_pending = 0
        self._num_merged = 0

    def add(self, values: pa.Array) -> None:
        """Count the ids of an Arrow array without nulls."""
        counted = pc.value_counts(values)
        distinct = counted.field("values")
        if pa.types.is_dictionary(distinct.type):
            distinct = distinct.cast(distinct.type.value_type)
        if not pa.types.is_integer(distinct.type):
            distinct = distinct.cast(pa.large_string())
        self._pending.append(pa.table({"value": distinct, "count": counted.field("counts")}))
        self._num_pending += len(distinct)
        if self._num_pending > max(1_000_000, 2 * self._num_merged):  # merging only what has doubled keeps the whole effort linear
            self._merge()

    def result(self) -> tuple[pa.Array, NDArray[np.int64]]:
        """The distinct ids, in no order, and how often each was seen."""
        if not self._pending:
            return pa.array([], pa.int64()), np.zeros(0, dtype=np.int64)
        merged = self._merge()
        return merged.column("value").combine_chunks(), merged.column("count").to_numpy()

    def _merge(self) -> pa.Table:
        grouped = pa.concat_tables(self._pending).group_by("value").aggregate([("count", "sum")])
        merged = grouped.rename_columns({"count_sum": "count"}).select(["value", "count"])
        self._pending, self._num_merged, self._num_pending = [merged], len(merged), len(merged)
        return merged


class Sample:
    """The rows of smallest hash: those whose hash is at most the `limit`-th smallest of all."""

    def __init__(self, limit: int = 1_000_000) -> None:
        self.limit = limit
        self._hashes: list[NDArray[np.uint64]] = []
        self._values: list[NDArray[np.float64]] = []
        self._num_kept = 0
        self._bound: np.uint64 | None = None

    def add(self, hashes: NDArray[np.uint64], values: NDArray[np.float64]) -> None:
        """Offer n rows: their hashes [n], and [columns, n] numbers."""
        if self._bound is not None:
            below = hashes <= self._bound
            hashes, values = hashes[below], values[:, below]
        self._hashes.append(hashes)
        self._values.append(values)
        self._num_kept += len(hashes)
        if self._num_kept > self.limit + self.limit // 4:
            self._trim()

    def result(self) -> NDArray[np.float64]:
        """The numbers of the rows kept, [columns, rows]."""
        if not self._values:
            return np.zeros((0, 0))
        self._trim()
        return self._values[0]

    def _trim(self) -> None:
        hashes, values = np.concatenate(self._hashes), np.concatenate(self._values, axis=1)
        if len(hashes) > self.limit:
            self._bound = np.partition(hashes, self.limit - 1)[self.limit - 1]
            kept = hashes <= self._bound  # rows of equal hash stay together: which came first must not matter
            hashes, values = hashes[kept], values[:, kept]
        self._hashes, self._values, self._num_kept = [hashes], [values], len(hashes)
