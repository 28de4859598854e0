"""Every kind of time column gives instants, and days start where clocks say so."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest

from mtrec.errors import DataError
from mtrec.history.times import day_starts, instants, show
from mtrec.schema import TimeFormat

SECOND = 10**9
MOMENT = datetime(2021, 7, 3, 12, 30, tzinfo=UTC)
STAMP = int(MOMENT.timestamp())


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        (pa.array([STAMP]), "s"),
        (pa.array([STAMP * 1000], pa.uint64()), "ms"),
        (pa.array([STAMP * 10**6]), "us"),
        (pa.array([STAMP * 10**9]), "ns"),
        (pa.array([float(STAMP)]), "s"),
        (pa.array([MOMENT], pa.timestamp("us", "America/New_York")), "ms"),
        (pa.array([MOMENT.astimezone(ZoneInfo("Asia/Shanghai")).replace(tzinfo=None)], pa.timestamp("ms")), "ms"),
    ],
)
def test_one_moment_in_every_form(column: pa.Array, unit: str) -> None:
    assert instants(column, TimeFormat.model_validate({"unit": unit, "zone": "Asia/Shanghai"}), "time").tolist() == [STAMP * SECOND]


@pytest.mark.parametrize("column", [pa.array([date(2021, 7, 3)]), pa.array([date(2021, 7, 3)], pa.date64()), pa.array([18811]), pa.array([18811.0])])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York"])
def test_dates_are_where_days_start(column: pa.Array, zone: str) -> None:
    expected = int(datetime(2021, 7, 3, tzinfo=ZoneInfo(zone)).timestamp()) * SECOND
    assert instants(column, TimeFormat(unit="day", zone=zone), "time").tolist() == [expected]


def test_clocks_that_jump() -> None:
    zone = TimeFormat(zone="America/New_York")
    shown = ["2021-03-14T02:30", "2021-03-14T03:30", "2021-11-07T01:30"]
    expected = ["2021-03-14T07:30+00:00", "2021-03-14T07:30+00:00", "2021-11-07T05:30+00:00"]
    found = instants(pa.array([datetime.fromisoformat(each) for each in shown], pa.timestamp("s")), zone, "time").tolist()
    assert found == [int(datetime.fromisoformat(each).timestamp()) * SECOND for each in expected]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "America/Sao_Paulo", "Australia/Lord_Howe", "Africa/Cairo"])
def test_days_start_where_clocks_say_so(zone: str) -> None:
    random = np.random.default_rng(0)
    times = np.sort(random.integers(-(10**9), 2 * 10**9, size=3000)) * SECOND
    starts = day_starts(times, zone)
    for time, start in zip(times.tolist(), starts.tolist(), strict=True):
        local = datetime.fromtimestamp(time // SECOND, UTC).astimezone(ZoneInfo(zone))
        assert start == int(local.replace(hour=0, minute=0, second=0, fold=0).timestamp()) * SECOND
    assert (starts <= times).all()


def test_what_is_no_time() -> None:
    with pytest.raises(DataError, match="2 rows have no time"):
        instants(pa.array([1.0, None, float("nan")]), TimeFormat(), "time")
    with pytest.raises(DataError, match="1 rows have a time that lies outside"):
        instants(pa.array([STAMP * 1000]), TimeFormat(unit="s"), "time")
    with pytest.raises(DataError, match="lies outside"):
        instants(pa.array([1e300]), TimeFormat(), "time")


def test_instants_are_shown_as_dates() -> None:
    assert show(STAMP * SECOND) == "2021-07-03T12:30:00+00:00"
