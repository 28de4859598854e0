"""What histories and counters promise on any log, as checks of a declaration: no leak, no order, no cut can be seen in them."""

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa

from mtrec.schema import Roles, TimeFormat
from mtrec.sections import HistoryEntry
from mtrec.testing.history_case import HistoryCase

__all__ = ["HISTORY_CHECKS", "HistoryCase", "check_history"]

HistoryCheck: TypeAlias = Callable[[HistoryCase], None]


def check_history(
    entries: dict[str, HistoryEntry],
    rows: pa.Table,
    roles: Roles,
    time: TimeFormat | None = None,
    events: Mapping[str, pa.Table] | None = None,
) -> None:
    """Assert that declared histories and counters keep their contract on a log, all faults in one report.

    Args:
        rows: those of the log, with at least three different times.
        events: the rows of each source of events that an entry names beside `log`.

    Raises:
        AssertionError: naming each check that failed.
    """
    case = HistoryCase(entries, rows, roles, time or TimeFormat(), events or {})
    faults: list[str] = []
    for name, check in HISTORY_CHECKS.items():
        try:
            check(case)
        except AssertionError as error:
            faults.append(f"{name}: {error}")
    assert not faults, f"the histories fail {len(faults)} of {len(HISTORY_CHECKS)} checks:\n  " + "\n  ".join(faults)


def columns_are_as_planned(case: HistoryCase) -> None:
    found = case.built()
    assert found.num_rows == case.rows.num_rows, "there is not one row for each row of the log"
    assert found.column_names == case.plan.columns.names, "the columns are not those of the plan"


def order_cannot_be_seen(case: HistoryCase) -> None:
    straight = case.built()
    other, order = case.shuffled(0)
    _assert_same(other.built(), straight.take(pa.array(order)), "another order of rows and files gives others")


def slices_cannot_be_seen(case: HistoryCase) -> None:
    straight = case.built()
    _assert_same(case.built(1 + case.rows.num_rows // 7), straight, "smaller slices give others")


def feedback_is_seen_later_only(case: HistoryCase) -> None:
    straight = case.built()
    for instant in _instants(case):
        until = pa.array(case.times(case.rows) <= instant)
        blank = case.without_feedback(instant)
        _assert_same(blank.built().filter(until), straight.filter(until), "without the feedback of their own time and later, rows have others")


def later_rows_are_not_seen(case: HistoryCase) -> None:
    straight = case.built()
    for instant in _instants(case):
        before, _ = case.cut(instant)
        seen = pa.array(case.times(case.rows) < instant)
        _assert_same(before.built(), straight.filter(seen), "without later rows, rows have others")


def a_saved_state_goes_on(case: HistoryCase) -> None:
    straight, times = case.built(), case.times(case.rows)
    for instant in _instants(case):
        with tempfile.TemporaryDirectory() as folder:
            first, second = case.cut(instant)
            found = [first.built_in(Path(folder) / "1"), second.built_in(Path(folder) / "2", state=Path(folder) / "1" / "state")]
        expected = [straight.filter(pa.array(times < instant)), straight.filter(pa.array(times >= instant))]
        _assert_same(pa.concat_tables(found), pa.concat_tables(expected), "in two runs, rows have others than in one")


def a_saved_state_answers(case: HistoryCase) -> None:
    straight, times = case.built(), case.times(case.rows)
    for instant in _instants(case):
        first, _ = case.cut(instant)
        now = pa.array(times == instant)
        with tempfile.TemporaryDirectory() as folder:
            first.built_in(Path(folder) / "out")
            answered = case.asked(Path(folder) / "out" / "state", case.rows.filter(now))
        _assert_same(answered, straight.filter(now), "the state answers rows with others than they are built with")


def _instants(case: HistoryCase) -> Iterator[int]:
    """Times of rows at which a log can be cut in two."""
    times = np.unique(case.times(case.rows))
    assert len(times) > 2, "the log is too short to be checked"
    yield from (int(times[place]) for place in sorted({1, len(times) // 2, len(times) - 1}))


def _assert_same(one: pa.Table, other: pa.Table, message: str) -> None:
    differ = [name for name in other.column_names if not one.column(name).combine_chunks().equals(other.column(name).combine_chunks())]
    assert not differ, f"{message}: {', '.join(differ)}"


_CHECKS: list[HistoryCheck] = [
    columns_are_as_planned,
    order_cannot_be_seen,
    slices_cannot_be_seen,
    feedback_is_seen_later_only,
    later_rows_are_not_seen,
    a_saved_state_goes_on,
    a_saved_state_answers,
]

HISTORY_CHECKS: Mapping[str, HistoryCheck] = {check.__name__: check for check in _CHECKS}
