"""Splits by time in all the ways that logs hold time, by name, and by hash."""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mtrec.data.split import Splitter, row_hash
from mtrec.errors import DataError
from mtrec.schema import Log

SHANGHAI = timezone(timedelta(hours=8))


def assign(column: Any, split: dict[str, Any], seed: int = 0, **time: str) -> list[int]:
    table = pa.table({"c": column})
    roles = {"time": "c"} if split["by"] == "time" else {}
    log = Log.model_validate({"source": "x", "roles": roles, "time": time, "split": {**split} if roles else {**split, "column": "c"}})
    return Splitter(log, table.schema, seed).assign(table).tolist()


def by_time(column: Any, valid_from: str | int = "2017-10-01", test_from: str | int = "2017-11-01", **time: str) -> list[int]:
    return assign(column, {"by": "time", "valid_from": valid_from, "test_from": test_from}, **time)


def instants(zone: timezone) -> list[datetime]:
    """The last microsecond before, and the first instant of, each bound in a zone."""
    bounds = [datetime(2017, month, 1, tzinfo=zone) for month in (10, 11)]
    return [moment for bound in bounds for moment in (bound - timedelta(microseconds=1), bound)]


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_timestamps_without_a_zone_are_clocks_of_the_zone_of_the_log(unit: str) -> None:
    clocks = pa.array([moment.replace(tzinfo=None) for moment in instants(UTC)], pa.timestamp(unit))
    assert by_time(clocks) == by_time(clocks, zone="Asia/Shanghai") == [0, 1, 1, 2]


@pytest.mark.parametrize("tz", ["Asia/Shanghai", "UTC"])
def test_timestamps_with_a_zone_are_instants(tz: str) -> None:
    column = pa.array(instants(SHANGHAI), pa.timestamp("us", tz))
    assert by_time(column, zone="Asia/Shanghai") == [0, 1, 1, 2]
    assert by_time(column) == [0, 0, 1, 1]  # midnight in Shanghai is 16:00 of the day before in UTC


def test_a_bound_with_an_offset_means_that_instant() -> None:
    offset = ("2017-10-01T00:00+08:00", "2017-11-01T00:00+08:00")
    aware = pa.array(instants(SHANGHAI), pa.timestamp("us", "UTC"))
    clocks = pa.array([moment.replace(tzinfo=None) for moment in instants(SHANGHAI)], pa.timestamp("us"))
    assert by_time(aware, *offset) == by_time(clocks, *offset, zone="Asia/Shanghai") == [0, 1, 1, 2]


def test_nanoseconds_are_not_lost() -> None:
    bound = 1_506_816_000 * 10**9  # 2017-10-01 in UTC
    assert by_time(pa.array([bound - 1, bound, bound + 1], pa.timestamp("ns"))) == [0, 1, 1]
    assert by_time(pa.array([bound - 1, bound, bound + 1]), unit="ns") == [0, 1, 1]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Kiritimati"])
def test_dates_and_days_know_no_zone(zone: str) -> None:
    days = [date(2017, 9, 30), date(2017, 10, 1), date(2017, 10, 31), date(2017, 11, 1)]
    assert by_time(pa.array(days, pa.date32()), zone=zone) == [0, 1, 1, 2]
    assert by_time(pa.array(days, pa.date64()), zone=zone) == [0, 1, 1, 2]
    assert by_time([(day - date(1970, 1, 1)).days for day in days], zone=zone, unit="day") == [0, 1, 1, 2]


def test_a_bound_within_a_day_lets_that_day_go_before() -> None:
    days = pa.array([date(2017, 10, 1), date(2017, 10, 2)])
    assert by_time(days, "2017-10-01T06:00") == by_time(days.cast(pa.int32()), "2017-10-01T06:00", unit="day") == [0, 1]


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_whole_numbers_are_instants_in_the_unit_of_the_log(unit: str, scale: int) -> None:
    bounds = [1_506_787_200 * scale, 1_509_465_600 * scale]  # midnights in Shanghai
    column = [bounds[0] - 1, bounds[0], bounds[1] - 1, bounds[1]]
    assert by_time(column, unit=unit, zone="Asia/Shanghai") == [0, 1, 1, 2]


def test_plain_weeks_with_plain_bounds() -> None:
    assert by_time(pa.array([79, 80, 89, 90, -5], pa.int16()), 80, 90) == [0, 1, 1, 2, 0]
    assert by_time([79.5, 80.0, 90.0], 80, 90) == [0, 1, 2]


def test_equal_bounds_leave_nothing_to_valid() -> None:
    assert by_time([79, 80], 80, 80) == [0, 2]


@pytest.mark.parametrize("column", [[1, None], [1.0, None], [1.0, float("nan")], [1.0, float("inf")]])
def test_rows_without_a_time_are_counted(column: list[float | None]) -> None:
    with pytest.raises(DataError, match="1 rows have no 'c'"):
        by_time(column, 0, 1)


@pytest.mark.parametrize(
    ("column", "bounds", "message"),
    [
        ([1], (90, 80), "valid_from lies after test_from.*90 and 80"),
        ([1], ("2017-11-01", "2017-10-01"), "valid_from lies after test_from"),
        ([1], ("80", "90"), "This is no date.*80"),
        ([datetime(2017, 1, 1)], (80, 90), "A time column needs dates as bounds"),  # noqa: DTZ001
        (["2017-10-01"], ("2017-10-01", "2017-11-01"), "needs a time, date or number column.*string"),
    ],
)
def test_bounds_that_do_not_fit(column: Any, bounds: tuple[Any, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        by_time(column, *bounds)


def test_an_unknown_zone_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ValidationError, match="no such time zone"):
        by_time([1], 80, 90, zone="Asia/Shangai")


def test_names_of_splits() -> None:
    names = ["test", "train", "valid"]
    for column in (pa.array(names), pa.array(names).dictionary_encode(), pa.array(names, pa.large_string())):
        assert assign(column, {"by": "column"}) == [2, 0, 1]


def test_other_names_and_nulls_are_refused() -> None:
    with pytest.raises(DataError, match=r"other names \(c\)\. Found: \['dev', 'Train'\]"):
        assign(["train", "dev", "Train", "dev"], {"by": "column"})
    with pytest.raises(DataError, match="1 rows have no 'c'"):
        assign(["train", None], {"by": "column"})


def test_shares_of_a_hash_are_kept() -> None:
    for column in (range(20_000), [f"user {number}" for number in range(20_000)]):
        counts = np.bincount(assign(pa.array(column), {"by": "hash", "valid": 0.1, "test": 0.3}))
        assert np.abs(counts / 20_000 - [0.6, 0.1, 0.3]).max() < 0.015  # four standard deviations


def test_a_hash_is_the_same_for_ever() -> None:
    # Worked out from the equations of mtrec.hash64 in plain Python.
    halves = {"by": "hash", "valid": 0.3, "test": 0.3}
    assert assign(list(range(12)), halves, seed=7) == [2, 2, 2, 0, 1, 0, 1, 0, 0, 2, 0, 1]
    assert assign(list("abcdefghijkl"), halves, seed=7) == [2, 1, 0, 0, 0, 2, 1, 2, 0, 0, 1, 1]


def test_another_seed_splits_otherwise() -> None:
    assert assign(list(range(50)), {"by": "hash"}, seed=1) != assign(list(range(50)), {"by": "hash"}, seed=2)


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=30))
def test_one_value_has_one_split_wherever_it_stands(values: list[int | None]) -> None:
    column = pa.array(values, pa.int64())
    found = assign(pa.concat_arrays([column, column.take(pa.array(range(len(values))[::-1], pa.int64()))]), {"by": "hash", "valid": 0.3, "test": 0.3})
    assert found == found[::-1]


@pytest.mark.parametrize("form", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_text_hashes_alike_in_every_form(form: pa.DataType) -> None:
    texts = pa.array(["a", None, "", "música", "a"])
    halves = {"by": "hash", "valid": 0.3, "test": 0.3}
    assert assign(texts.cast(form), halves) == assign(texts, halves)


def test_what_cannot_be_hashed_is_refused() -> None:
    with pytest.raises(DataError, match="whole numbers or text.*double"):
        assign([1.5], {"by": "hash"})
    with pytest.raises(DataError, match="64 bits"):
        assign(pa.array([2**64 - 1], pa.uint64()), {"by": "hash"})


def test_the_hash_of_a_row_is_of_its_place_alone() -> None:
    whole = row_hash(0, 1000, seed=3)
    assert np.array_equal(np.concatenate([row_hash(0, 300, 3), row_hash(300, 700, 3)]), whole)
    assert len(set(whole.tolist())) == 1000
    assert abs(whole.astype(np.float64).mean() / 2.0**64 - 0.5) < 0.04
