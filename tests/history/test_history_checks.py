"""Random logs pass every public check, and the checks can fail."""

from pathlib import Path

import pyarrow as pa
import pytest

from mtrec.history import build, compute
from mtrec.sections import Counters, History
from mtrec.testing.history import HISTORY_CHECKS, HistoryCase, check_history
from tests.history.cases import ROLES, built, random_case


@pytest.mark.parametrize("seed", range(300, 304))
def test_random_logs_pass(seed: int) -> None:
    case = random_case(seed)
    check_history(case.entries, case.table(), ROLES, case.time, {name: case.file(name) for name in case.files})


def sound() -> HistoryCase:
    entries = {"h": History(by=["user"], keep=["item"], last=4), "c": Counters(of=["click"], by=[["user"]], windows=["1d", "all"])}
    case = random_case(300, num_rows=90)._replace(entries=entries)
    return HistoryCase(entries, case.table(), ROLES, case.time)


def test_a_leak_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtrec.history.unit_rows.bound_of", lambda unit, times, zone: times + 1)
    with pytest.raises(AssertionError, match=r"feedback_is_seen_later_only: .* h.item, .* c.user.1d.click, .*\n.*a_saved_state_answers: ") as caught:
        case = sound()
        check_history(case.entries, case.rows, case.roles, case.time)
    assert "order_cannot_be_seen" not in str(caught.value)


def test_a_state_that_forgets_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "earliest_bound", lambda unit, plan, watermark: compute.earliest_bound(unit, plan, watermark) + 2 * 86_400 * 10**9)
    with pytest.raises(AssertionError, match="in two runs, rows have others than in one: .*c.user.1d.events"):
        HISTORY_CHECKS["a_saved_state_goes_on"](sound())


def test_an_order_that_shows_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtrec.history.histories._with_ties_by_content", lambda order, codes, kept: order)
    with pytest.raises(AssertionError, match="another order of rows and files gives others: h.item"):
        HISTORY_CHECKS["order_cannot_be_seen"](sound())


@pytest.mark.parametrize("seed", range(400, 410))
def test_three_days_in_three_runs(seed: int, tmp_path: Path) -> None:
    case = random_case(seed, num_rows=90)
    times = sorted({row["time"] for row in case.rows})
    bounds = [0, times[len(times) // 3], times[2 * len(times) // 3], 2**40]
    whole = built(case.plan(), case.table(), {name: case.file(name) for name in case.files}, tmp_path / "whole")
    state: Path | None = None
    for day in range(3):
        inside = [place for place, row in enumerate(case.rows) if bounds[day] <= row["time"] < bounds[day + 1]]
        files = {name: case.file(name, [row for row in rows if bounds[day] <= row["time"] < bounds[day + 1]]) for name, rows in case.files.items()}
        found = built(case.plan(), case.table([case.rows[place] for place in inside]), files, tmp_path / str(day), state)
        for name in found.column_names:
            assert found[name].combine_chunks().equals(whole[name].combine_chunks().take(pa.array(inside))), name
        state = tmp_path / str(day) / "state"
