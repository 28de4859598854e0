"""A log, its events and their declaration for checks of histories, and ways to build from them."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mtrec.history.build import build_history
from mtrec.history.plan import HistoryPlan, plan_history
from mtrec.history.state import HistoryState
from mtrec.history.times import instants
from mtrec.schema import Roles, TimeFormat
from mtrec.sections import Counters, HistoryEntry

__all__ = ["HistoryCase"]


@dataclass(frozen=True)
class HistoryCase:
    """What is checked; `rows` are those of the log, in any order, `events` those of each file of events."""

    entries: dict[str, HistoryEntry]
    rows: pa.Table
    roles: Roles
    time: TimeFormat
    events: Mapping[str, pa.Table] = field(default_factory=dict)

    @property
    def plan(self) -> HistoryPlan:
        return plan_history(self.entries, self.roles, self.time, self.rows.schema, {name: table.schema for name, table in self.events.items()})

    @property
    def feedback(self) -> list[str]:
        """The columns that only events give: labels, kept values and what says whether an event counts, unless they are parts of keys too."""
        named = [column for entry in self.entries.values() for column in ([*entry.of] if isinstance(entry, Counters) else [*entry.keep, entry.where])]
        return [column for column in dict.fromkeys(named) if column is not None and column not in self.plan.inputs]

    def times(self, table: pa.Table) -> NDArray[np.int64]:
        return instants(table.column(self.plan.clock).combine_chunks(), self.time, "time")

    def built(self, size: int = 1000) -> pa.Table:
        """The added columns, from slices of some rows."""
        with tempfile.TemporaryDirectory() as folder:
            return self.built_in(Path(folder) / "out", size)

    def built_in(self, out: Path, size: int = 1000, state: Path | None = None) -> pa.Table:
        events = {name: _slices(table, size) for name, table in self.events.items()}
        build_history(self.plan, _slices(self.rows, size), events, out, state)
        return pq.read_table(out / "columns.parquet", page_checksum_verification=True)

    def cut(self, instant: int) -> tuple["HistoryCase", "HistoryCase"]:
        """What lies before an instant, and the rest, each in its order."""
        return self._where(lambda times: times < instant), self._where(lambda times: times >= instant)

    def shuffled(self, seed: int) -> tuple["HistoryCase", NDArray[np.int64]]:
        """Rows and files in another order; and where each row was."""
        random = np.random.default_rng(seed)
        order = random.permutation(self.rows.num_rows)
        events = {name: table.take(pa.array(random.permutation(table.num_rows))) for name, table in self.events.items()}
        return HistoryCase(self.entries, self.rows.take(pa.array(order)), self.roles, self.time, events), order

    def without_feedback(self, instant: int) -> "HistoryCase":
        """Labels and kept values of an instant and after are null."""

        def blank(table: pa.Table) -> pa.Table:
            known = pa.array(self.times(table) < instant)
            for name in self.feedback:
                if name in table.column_names:
                    place, column = table.column_names.index(name), table.column(name)
                    table = table.set_column(place, name, pa.chunked_array([_masked(column, known)]))
            return table

        return HistoryCase(self.entries, blank(self.rows), self.roles, self.time, {name: blank(table) for name, table in self.events.items()})

    def asked(self, state: Path, rows: pa.Table) -> pa.Table:
        return HistoryState.open(state).add(rows.select(self.plan.inputs))

    def _where(self, chosen: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> "HistoryCase":
        events = {name: table.filter(pa.array(chosen(self.times(table)))) for name, table in self.events.items()}
        return HistoryCase(self.entries, self.rows.filter(pa.array(chosen(self.times(self.rows)))), self.roles, self.time, events)


def _slices(table: pa.Table, size: int) -> list[pa.Table]:
    return [table.slice(start, size) for start in range(0, table.num_rows, size)]


def _masked(column: pa.ChunkedArray, known: pa.Array) -> pa.Array:
    return pc.if_else(known, column.combine_chunks(), pa.scalar(None, column.type))
