"""Which group metrics the declared histories and counters void."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mtrec.data.log import LogFiles, available_columns
from mtrec.inspection.feedback import feedback, length_of, voided_groups
from mtrec.inspection.inputs import Inputs
from mtrec.inspection.inspect import inspect
from mtrec.schema import Roles
from mtrec.sections import Counters, History
from tests.inspection.planted import configured, shop, told, write

ROLES = Roles(user="user_id", session="visit")
WEEK = timedelta(days=7)


def counters(**options: Any) -> dict[str, Any]:
    return {"past": Counters.model_validate({"of": ["is_click"], "by": ["user"], **options})}


@pytest.mark.parametrize(
    ("options", "groups", "judged", "voided"),
    [
        ({}, ["user"], WEEK, True),
        ({}, ["user_id"], WEEK, True),
        ({}, ["user", "day"], WEEK, True),  # Streaming counts grow within the day.
        ({}, ["session"], WEEK, True),
        ({"as_of": "day"}, ["user", "day"], WEEK, False),
        ({"as_of": "day"}, ["user"], WEEK, True),  # From one day to the next they grow.
        ({"as_of": "day"}, ["user"], timedelta(hours=20), False),
        ({"delay": "7d"}, ["user"], WEEK, False),
        ({"delay": "6d"}, ["user"], WEEK, True),
        ({"delay": "1d"}, ["user", "day"], WEEK, False),
        ({"as_of": "day", "delay": "7d"}, ["user"], WEEK, False),
        ({"as_of": "day"}, ["user"], None, True),
        ({}, ["day"], WEEK, False),
        ({}, [], WEEK, False),
    ],
)
def test_what_is_seen_inside_a_group_voids_it(options: dict[str, Any], groups: list[str], judged: timedelta | None, voided: bool) -> None:
    found = voided_groups(counters(**options), groups, ROLES, judged)
    assert [each.where for each in found] == (["history.past"] if voided else [])
    assert all(each.level == "warning" for each in found)


def test_each_says_what_it_sees() -> None:
    views = History.model_validate({"by": "user", "keep": ["item_id"], "as_of": "day", "delay": "1d"})
    found = feedback({**counters(), "views": views})
    assert [each.where for each in found] == ["history.past", "history.views"]
    assert "streaming" in found[0].sentence and "frozen" in found[1].sentence and "1d before" in found[1].sentence


@pytest.mark.parametrize(
    ("kind", "unit", "amount"),
    [
        (pa.timestamp("us"), "ms", 86_400e6),
        (pa.date32(), "ms", 1),
        (pa.date64(), "s", 86_400e3),
        (pa.int64(), "ms", 86_400e3),
        (pa.int64(), "ns", 86_400e9),
        (pa.int32(), "day", 1),
        (pa.float64(), "s", 86_400),
    ],
)
def test_a_day_is_a_day_in_any_unit(kind: pa.DataType, unit: str, amount: float) -> None:
    assert length_of(1000.0, 1000.0 + amount, kind, unit) == timedelta(days=1)


def test_columns_that_are_declared_and_not_in_the_log_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path, shop())
    history = {"views": {"by": "user", "where": "is_click", "keep": ["item"]}, "past_of": {"of": ["is_click"], "by": ["user"]}}
    sequences = [{"from": "views", "shares": {"item": "item"}}]
    config = configured(tmp_path, history=history, numbers=["past_of.*", "*.rate"], sequences=sequences)
    inputs = Inputs(config, available_columns(config.log.source))
    assert inputs.numbers == ["price"] and [each.name for each in inputs.ids] == ["item", "past", "kind"]
    report = inspect(LogFiles(config.log.source, inputs.columns), config, groups=["user"])
    assert {each.where for each in told(report, "warning")} == {"history.views", "history.past_of"}
    assert inspect(LogFiles(config.log.source, inputs.columns), config).leaks == []
    assert {each.where for each in told(inspect(LogFiles(config.log.source, inputs.columns), config), "warning")} == set()
