"""What a state refuses: damage, other declarations, rows of the past, labels that cannot be summed."""

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.errors import BundleError, DataError
from mtrec.history.build import build_history
from mtrec.history.plan import HistoryPlan, plan_history
from mtrec.history.state import HistoryState
from mtrec.schema import Roles, TimeFormat
from mtrec.sections import Counters, History

DAY = 86_400
ROLES = Roles(time="t", user="u")
ENTRIES = {
    "h": History(by=["user"], keep=["x"], last=2),
    "c": Counters(of=["y"], by=[["user"]], half_life="1d", events=["log", "more"], centred=False),
}


def rows(times: list[int], y: list[float | None] | None = None) -> pa.Table:
    return pa.table({"t": times, "u": [1] * len(times), "x": list(range(len(times))), "y": pa.array(y or [1.0] * len(times), pa.float64())})


def plan_of(entries: dict[str, History | Counters] = ENTRIES) -> HistoryPlan:
    return plan_history(entries, ROLES, TimeFormat(unit="s"), rows([1]).schema, {"more": rows([1]).schema})


def build(out: Path, log: pa.Table, more: pa.Table | None = None, state: Path | None = None, plan: HistoryPlan | None = None) -> pa.Table:
    build_history(plan or plan_of(), [log], {"more": [] if more is None else [more]}, out, state)
    return pq.read_table(out / "columns.parquet")


def test_a_decaying_sum_halves_each_half_life(tmp_path: Path) -> None:
    found = build(tmp_path, rows([0, DAY, 3 * DAY, 13 * DAY], [8.0, 4.0, None, 1.0]))
    assert found["c.user.decay.events"].to_pylist() == [0.0, 0.5, 0.125 + 0.25, (0.125 + 0.25 + 1) / 1024]
    assert found["c.user.decay.y"].to_pylist() == [0.0, 4.0, 1.0 + 1.0, 2.0 / 1024]


def test_a_rate_is_drawn_towards_the_mean_of_all(tmp_path: Path) -> None:
    found = build(tmp_path, rows([1, 2, 3], [1.0, 0.0, 0.0]), rows([0], [1.0]).set_column(1, "u", pa.array([2])))
    assert found["c.user.all.events"].to_pylist() == [0.0, 1.0, 2.0]
    assert found["c.user.all.y.rate"].to_pylist() == [1.0, (1 + 20 * 1.0) / 21, (1 + 20 * (2 / 3)) / 22]


def test_a_centred_rate_of_a_key_without_events_is_zero(tmp_path: Path) -> None:
    log = pa.table({"ts": [1, 2, 3], "u": [1, 2, 1], "y": [1.0, 0.0, 0.0]})
    plan = plan_history({"c": Counters(of=["y"], by=[["user"]])}, Roles(time="ts", user="u"), TimeFormat(unit="s"), log.schema, {})
    build_history(plan, [log], {}, tmp_path / "out")
    found = pq.read_table(tmp_path / "out" / "columns.parquet")["c.user.all.y.rate"].to_pylist()
    assert found == [None, 0.0, (1 - 1 * 0.5) / 21]


def test_a_damaged_state_is_refused_by_name(tmp_path: Path) -> None:
    build(tmp_path, rows([1, 2]))
    file = tmp_path / "state" / "1.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(BundleError, match=r"state/1\.parquet"):
        HistoryState.open(tmp_path / "state")
    with pytest.raises(BundleError, match=r"state/1\.parquet"):
        build(tmp_path / "next", rows([3]), state=tmp_path / "state")
    assert not (tmp_path / "next").exists()


def test_the_past_is_refused(tmp_path: Path) -> None:
    build(tmp_path / "1", rows([5, 9, 7]))
    state = HistoryState.open(tmp_path / "1" / "state")
    assert state.watermark == 9 * 10**9
    with pytest.raises(DataError, match=r"3 rows or events are earlier .*1970-01-01T00:00:09"):
        build(tmp_path / "2", rows([9, 8, 3, 10]), rows([2, 9]), state=tmp_path / "1" / "state")
    assert not (tmp_path / "2" / "state").exists()
    with pytest.raises(DataError, match=r"1 rows are earlier .*1970-01-01T00:00:09"):
        state.add(rows([8, 9]))


def test_a_state_of_another_history_is_refused(tmp_path: Path) -> None:
    build(tmp_path, rows([5]))
    entries = {**ENTRIES, "h": History(by=["user"], keep=["x"], last=3)}
    with pytest.raises(DataError, match=r"one of another history .*history.h"):
        build(tmp_path / "2", rows([6]), state=tmp_path / "state", plan=plan_of(entries))


def test_what_is_asked_without_its_keys_is_refused(tmp_path: Path) -> None:
    build(tmp_path, rows([5]))
    with pytest.raises(DataError, match=r"lack columns .*Expected: \['u'\]"):
        HistoryState.open(tmp_path / "state").add(rows([6]).drop_columns("u"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, 2.0**41])
def test_labels_that_cannot_be_summed(tmp_path: Path, bad: float) -> None:
    with pytest.raises(DataError, match=r"1 labels cannot be summed \(log, column 'y'\)"):
        build(tmp_path, rows([5, 6], [1.0, bad]))


def test_sums_that_would_wrap_around(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leave 64 bits"):
        build(tmp_path, rows(list(range(100)), [2.0**40] * 100))


def test_times_too_far_apart_for_a_half_life(tmp_path: Path) -> None:
    build(tmp_path / "1", rows([0, 1900 * DAY]))
    with pytest.raises(DataError, match="more than 1900 half-lives"):
        build(tmp_path / "2", rows([0, 1901 * DAY]))


def test_a_time_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"1 rows have no time \(more, column 't'\)"):
        build(tmp_path, rows([5]), rows([1]).set_column(0, "t", pa.array([None], pa.int64())))


def test_sources_that_are_not_given(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="more"):
        build_history(plan_of(), [rows([5])], {}, tmp_path)


def test_nothing_at_all(tmp_path: Path) -> None:
    found = build(tmp_path / "1", rows([]))
    assert found.num_rows == 0 and found.column_names == plan_of().columns.names
    assert HistoryState.open(tmp_path / "1" / "state").watermark is None
    again = build(tmp_path / "2", rows([5, 6]), rows([1]), tmp_path / "1" / "state")
    assert again.equals(build(tmp_path / "3", rows([5, 6]), rows([1])))
