"""One unit on one partition: the function that a distributed engine would map over parts of a log cut by key."""

from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.history.counter_events import saved_counters
from mtrec.history.counters import count
from mtrec.history.histories import collect, saved_histories
from mtrec.history.plan import HistoryPlan
from mtrec.history.times import day_starts
from mtrec.history.units import Unit
from mtrec.history.values import ARROW
from mtrec.sections import History

__all__ = ["Events", "Result", "compute", "earliest_bound", "nothing_saved", "saved_schema"]

NO_ROWS_YET = -(2**62)


class Result(Protocol):
    """What the rows of a partition see; `rows` are their places in the log. [n]"""

    @property
    def rows(self) -> NDArray[np.int64]: ...
    def take(self, index: NDArray[np.int64]) -> pa.Table: ...


class Events(Protocol):
    """The events of a partition, which can be saved for rows whose bounds are `earliest` or later."""

    def saved(self, earliest: int) -> pa.Table: ...


def compute(unit: Unit, plan: HistoryPlan, records: pa.Table, saved: pa.Table) -> tuple[Result, Events]:
    """Answer the rows among the records of a partition, and take in its events.

    Args:
        records: as of `read_records`, of whole keys.
        saved: what was saved of these keys.
    """
    return collect(unit, plan, records, saved) if isinstance(unit.entry, History) else count(unit, plan, records, saved)


def saved_schema(unit: Unit, plan: HistoryPlan) -> pa.Schema:
    """The columns that are saved of a unit."""
    own = saved_histories(unit, plan) if isinstance(unit.entry, History) else saved_counters(unit)
    return pa.schema([*((f"v.{name}", ARROW[plan.kinds[name]]) for name in unit.key), *own])


def nothing_saved(unit: Unit, plan: HistoryPlan) -> pa.Table:
    return saved_schema(unit, plan).empty_table()


def earliest_bound(unit: Unit, plan: HistoryPlan, watermark: int | None) -> int:
    """The earliest bound of rows at the watermark or later; None where no row has been seen, so that any may come."""
    if watermark is None:
        return NO_ROWS_YET
    return int(day_starts(np.array([watermark]), plan.time.zone)[0]) if unit.entry.as_of == "day" else watermark
