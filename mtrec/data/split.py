"""Which rows train, choose and judge."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from mtrec.errors import DataError
from mtrec.hash64 import hash_array, hash_int64, is_text
from mtrec.schema import Log

__all__ = ["SPLITS", "Splitter", "hash_of_rows", "row_hash"]

SPLITS = ("train", "valid", "test")
_NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "day": 86_400 * 10**9}


def row_hash(start: int, num_rows: int, seed: int) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of each row's place in the log, which orders the train rows and chooses samples. [num_rows]"""
    return hash_of_rows(np.arange(start, start + num_rows), seed)


def hash_of_rows(places: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.uint64]:
    """The same for rows at any places."""
    return hash_int64(hash_int64(torch.from_numpy(places)), seed).numpy().view(np.uint64)


class Splitter:
    """Assigns rows to splits by time, by a column of names, or by a seeded hash of a column.

    Raises:
        DataError: if the column is of a type that cannot be split so, or the bounds do not fit it.
    """

    def __init__(self, log: Log, schema: pa.Schema, seed: int) -> None:
        self.split, self.seed, self.time = log.split, seed, log.time
        column = log.roles.time if log.split.by == "time" else log.split.column
        assert column is not None
        self.column: str = column
        self.type = schema.field(column).type
        if self.split.by == "hash" and not (is_text(self.type) or pa.types.is_integer(self.type)):
            raise DataError("A split by hash needs a column of whole numbers or text", where=column, found=self.type)
        if self.split.by == "time":
            assert self.split.valid_from is not None and self.split.test_from is not None
            self.bounds = (self._bound(self.split.valid_from), self._bound(self.split.test_from))
            if self.bounds[0] > self.bounds[1]:
                found = f"{self.split.valid_from} and {self.split.test_from}"
                raise DataError("valid_from lies after test_from", where="log.split", found=found)

    def assign(self, table: pa.Table) -> npt.NDArray[np.int8]:
        """0 train, 1 valid, 2 test. [rows]

        Raises:
            DataError: if a row has no time, or a split of another name.
        """
        column = table[self.column].combine_chunks()
        if self.split.by == "hash":
            return self._by_hash(column)
        num_missing = column.null_count
        if pa.types.is_floating(column.type):
            num_missing = len(column) - int(pc.sum(pc.is_finite(column)).as_py() or 0)
        if num_missing:
            what = f"{num_missing} rows have no {self.column!r}, so they belong to no split"
            raise DataError(what, where="log.split", do="Fill or drop them.")
        if self.split.by == "column":
            return self._by_name(column)
        values = self._instants(column)
        return (values >= self.bounds[0]).astype(np.int8) + (values >= self.bounds[1]).astype(np.int8)

    def _by_name(self, column: pa.Array) -> npt.NDArray[np.int8]:
        names = pc.index_in(column.cast(pa.string()), value_set=pa.array(SPLITS))
        if names.null_count:
            odd = pc.unique(column.filter(pc.is_null(names))).to_pylist()[:5]
            raise DataError("The split column holds other names", where=self.column, found=odd, expected=list(SPLITS))
        return np.asarray(names, dtype=np.int8)

    def _by_hash(self, column: pa.Array) -> npt.NDArray[np.int8]:
        try:
            known = column.cast(pa.large_string() if is_text(column.type) else pa.int64())
        except pa.ArrowInvalid as error:
            raise DataError("Whole numbers of the split column do not fit 64 bits with a sign", where=self.column, found=error) from error
        filled = pc.fill_null(known, "" if is_text(column.type) else -1)
        hashed = torch.from_numpy(hash_array(filled))
        share = hash_int64(hashed, self.seed).numpy().view(np.uint64).astype(np.float64) / 2.0**64
        found = np.zeros(len(share), dtype=np.int8)
        found[share < self.split.valid + self.split.test] = 1
        found[share < self.split.test] = 2
        return found

    def _instants(self, column: pa.Array) -> npt.NDArray[np.float64] | npt.NDArray[np.int64]:
        """The times as they are stored, in the unit of the column. [rows]"""
        if pa.types.is_floating(column.type):
            return np.asarray(column.cast(pa.float64()), dtype=np.float64)
        if pa.types.is_date32(column.type):
            column = column.cast(pa.int32())
        return np.asarray(column.cast(pa.int64(), safe=False), dtype=np.int64)

    def _unit(self) -> str:
        if pa.types.is_timestamp(self.type):
            return str(self.type.unit)
        if pa.types.is_date(self.type):
            return "day" if pa.types.is_date32(self.type) else "ms"
        return self.time.unit

    def _bound(self, value: str | int) -> int:
        """A bound in the unit of the column, rounded up: a stored time is at or after the bound where it is at least this number."""
        is_date, is_number = pa.types.is_date(self.type), pa.types.is_integer(self.type) or pa.types.is_floating(self.type)
        if not (is_date or is_number or pa.types.is_timestamp(self.type)):
            raise DataError("A split by time needs a time, date or number column", where=self.column, found=self.type)
        if isinstance(value, int):
            if not is_number:
                raise DataError("A time column needs dates as bounds", where="log.split", found=value, expected='text such as "2017-10-01"')
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError as error:
            raise DataError("This is no date", where="log.split", found=value, expected='text such as "2017-10-01" or "2017-10-01T06:00"') from error
        zone = ZoneInfo(self.time.zone)
        moment = moment.replace(tzinfo=moment.tzinfo or zone)
        # Dates, numbers of days, and timestamps without a zone show what clocks in the zone of the log show.
        if is_date or (is_number and self.time.unit == "day") or (pa.types.is_timestamp(self.type) and self.type.tz is None):
            moment = moment.astimezone(zone).replace(tzinfo=UTC)
        microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        return -(-microseconds * 1000 // _NANOSECONDS[self._unit()])
