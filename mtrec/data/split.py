"""Which rows train, choose and judge."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mtrec.errors import DataError
from mtrec.hash64 import hash_array, hash_int64
from mtrec.schema import Log

__all__ = ["SPLITS", "Splitter", "row_hash"]

SPLITS = ("train", "valid", "test")
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


def row_hash(start: int, num_rows: int, seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row's place in the log, which orders the train rows and chooses samples. [num_rows]"""
    places = torch.arange(start, start + num_rows, dtype=torch.int64)
    return hash_int64(hash_int64(places), seed).numpy().view(np.uint64)


class Splitter:
    """Assigns rows to splits by time, by a column of names, or by a seeded hash of a column."""

    def __init__(self, log: Log, schema: pa.Schema, seed: int) -> None:
        self.split, self.seed, self.time = log.split, seed, log.time
        self.column = log.roles.time if log.split.by == "time" else log.split.column
        assert self.column is not None
        self.type = schema.field(self.column).type
        if self.split.by == "time":
            assert self.split.valid_from is not None and self.split.test_from is not None
            self.bounds = (self._bound(self.split.valid_from), self._bound(self.split.test_from))
            if self.bounds[0] > self.bounds[1]:
                raise DataError("valid_from lies after test_from", where="log.split", found=self.split)

    def assign(self, table: pa.Table) -> npt.NDArray[np.int8]:
        """0 train, 1 valid, 2 test. [rows]

        Raises:
            DataError: if a row has no time, or a split of another name.
        """
        column = table[self.column].combine_chunks()
        if self.split.by == "hash":
            return self._by_hash(column)
        if column.null_count:
            raise DataError(f"{column.null_count} rows have no {self.column!r}, so they belong to no split", where="log.split", do="Fill or drop them.")
        if self.split.by == "column":
            names = pc.index_in(column.cast(pa.string()), value_set=pa.array(SPLITS))
            if names.null_count:
                odd = pc.unique(column.filter(pc.is_null(names))).to_pylist()[:5]
                raise DataError("The split column holds other names", where=self.column, found=odd, expected=list(SPLITS))
            return names.to_numpy(zero_copy_only=False).astype(np.int8)
        values = self._instants(column)
        return (values >= self.bounds[0]).astype(np.int8) + (values >= self.bounds[1]).astype(np.int8)

    def _by_hash(self, column: pa.Array) -> npt.NDArray[np.int8]:
        filled = pc.fill_null(column, -1 if pa.types.is_integer(column.type) else "")
        hashed = torch.from_numpy(hash_array(filled))
        share = hash_int64(hashed, self.seed).numpy().view(np.uint64).astype(np.float64) / 2.0**64
        found = np.zeros(len(share), dtype=np.int8)
        found[share < self.split.valid + self.split.test] = 1
        found[share < self.split.test] = 2
        return found

    def _instants(self, column: pa.Array) -> npt.NDArray[np.float64] | npt.NDArray[np.int64]:
        if pa.types.is_integer(column.type):
            return column.cast(pa.int64()).to_numpy(zero_copy_only=False)
        if pa.types.is_floating(column.type):
            return column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        return column.cast(pa.timestamp("us")).cast(pa.int64()).to_numpy(zero_copy_only=False)

    def _bound(self, value: str | int) -> int:
        is_clock = pa.types.is_timestamp(self.type) or pa.types.is_date(self.type)
        if not is_clock and not pa.types.is_integer(self.type) and not pa.types.is_floating(self.type):
            raise DataError("A split by time needs a time, date or number column", where=self.column, found=self.type)
        if isinstance(value, int):
            if is_clock:
                raise DataError("A time column needs dates as bounds", where="log.split", found=value, expected='text such as "2017-10-01"')
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise DataError("This is no date", where="log.split", found=value, expected='text such as "2017-10-01" or "2017-10-01T06:00"') from error
        # A date column, and a time column without a zone, count as clocks that show the zone of the log.
        aware = getattr(self.type, "tz", None) is not None or not is_clock
        zone = ZoneInfo(self.time.zone) if aware else ZoneInfo("UTC")
        seconds = moment.replace(tzinfo=moment.tzinfo or zone).timestamp()
        if is_clock:
            return round(seconds * 10**6)
        return round(seconds / 86_400) if self.time.unit == "day" else round(seconds * _PER_SECOND[self.time.unit])
