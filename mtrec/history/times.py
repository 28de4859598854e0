"""Time columns as instants, whole nanoseconds since 1970 in UTC, and the starts of days in a zone."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.errors import DataError
from mtrec.schema import TimeFormat

__all__ = ["DAY", "LONGEST", "day_starts", "instants", "is_time", "show"]

DAY = 86_400 * 10**9
# Times and lengths of time stay so small that no difference of two leaves 64 bits: years 1861 to 2079, and 36 years.
LONGEST = 2**60
_FARTHEST = 2**62 - 2**60
_UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1, "day": DAY}
_DAYS_PER_TABLE = 512
_ORDINAL_1970 = datetime(1970, 1, 1, tzinfo=UTC).toordinal()


def is_time(arrow_type: pa.DataType) -> bool:
    """Whether a column of this type can be read as times."""
    kinds = pa.types
    return any(fits(arrow_type) for fits in (kinds.is_timestamp, kinds.is_date, kinds.is_integer, kinds.is_floating))


def instants(column: pa.Array, time: TimeFormat, where: str) -> NDArray[np.int64]:
    """A column of times as instants. [rows]

    Timestamps with a zone and whole numbers of s, ms, us and ns are instants; dates, numbers of days, and timestamps without a zone are what
    clocks in `time.zone` show: where clocks are put back the earlier of two readings is taken, and a reading that they skip is as long after
    the jump as it reads after it.

    Raises:
        DataError: if rows have no time, or one that lies outside of the years 1861 to 2079.
    """
    kinds, kind = pa.types, column.type
    missing = column.null_count
    if kinds.is_floating(kind):
        missing = len(column) - int(pc.sum(pc.is_finite(column)).as_py() or 0)
    if missing:
        raise DataError(f"{missing} rows have no time", where=where, do="Fill or drop them.")
    if kinds.is_timestamp(kind):
        unit, wall = str(kind.unit), kind.tz is None
    elif kinds.is_date(kind):
        unit, wall = "ms" if kinds.is_date64(kind) else "day", True
    else:
        unit, wall = time.unit, time.unit == "day"
    if kinds.is_floating(kind):
        found = np.asarray(column.cast(pa.float64()), dtype=np.float64) * float(_UNITS[unit])
        _refuse_far(np.abs(found) > _FARTHEST, where)
        values = np.rint(found).astype(np.int64)
    else:
        plain = column.cast(pa.int32()) if kinds.is_date32(kind) else column
        stored = np.asarray(plain.cast(pa.int64(), safe=False), dtype=np.int64)
        limit = _FARTHEST // _UNITS[unit]
        _refuse_far((stored > limit) | (stored < -limit), where)
        values = stored * _UNITS[unit]
    return _from_wall(values, time.zone) if wall and time.zone != "UTC" else values


def day_starts(values: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    """The start of the day of each instant, in a zone. [n]"""
    if zone == "UTC" or len(values) == 0:
        return values - values % DAY
    first, last = int(values.min()) // DAY - 2, int(values.max()) // DAY + 2
    starts = _midnights(zone, first // _DAYS_PER_TABLE, last // _DAYS_PER_TABLE + 1)
    return starts[np.searchsorted(starts, values, side="right") - 1]


def show(instant: int) -> str:
    """An instant as people read it."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant // 1000)).isoformat()


def _refuse_far(far: NDArray[np.bool_], where: str) -> None:
    if far.any():
        what = f"{int(far.sum())} rows have a time that lies outside of the years 1861 to 2079"
        raise DataError(what, where=where, do="Mend them, or set log.time.unit to what the numbers count.")


def _from_wall(values: NDArray[np.int64], zone: str) -> NDArray[np.int64]:
    jump = 3 * 3600 * 10**9  # Longer than any.

    def read(shown: pl.Expr) -> pl.Expr:
        clock = shown.cast(pl.Datetime("ns")).dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        return clock.dt.convert_time_zone("UTC").to_physical()

    # A reading that clocks skip has the offset from before the jump.
    shown = pl.DataFrame({"shown": values})
    try:
        known = shown.select(pl.coalesce(read(pl.col("shown")), read(pl.col("shown") - jump) + jump))
    except pl.exceptions.ComputeError as error:
        raise DataError("Times of this zone cannot be read", where="log.time.zone", found=zone, expected="a name as Asia/Shanghai") from error
    return known.to_series().to_numpy()


@lru_cache(maxsize=16)
def _midnights(zone: str, first: int, last: int) -> NDArray[np.int64]:
    """The instants at which days start, for tables `first` to `last` of 512 days each."""
    place, start = ZoneInfo(zone), datetime(1970, 1, 1, tzinfo=UTC)
    days = range(_ORDINAL_1970 + first * _DAYS_PER_TABLE, _ORDINAL_1970 + last * _DAYS_PER_TABLE)
    found = [(datetime.fromordinal(day).replace(tzinfo=place) - start) // timedelta(microseconds=1) * 1000 for day in days]
    return np.maximum.accumulate(np.array(found, dtype=np.int64))
