"""Histories of one key in one partition: each row's is a run of the sorted events of its key."""

from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.history.plan import HistoryPlan
from mtrec.history.timeline import spread
from mtrec.history.times import DAY
from mtrec.history.unit_rows import UnitRows, read_unit
from mtrec.history.units import Unit
from mtrec.history.values import ARROW
from mtrec.sections import History

__all__ = ["HistoryEvents", "Lists", "collect", "saved_histories"]

Whole = NDArray[np.int64]


def saved_histories(unit: Unit, plan: HistoryPlan) -> pa.Schema:
    """The columns that are saved beside those of the key: events as they came."""
    assert isinstance(unit.entry, History)
    return pa.schema([("instant", pa.int64()), *((f"keep.{name}", ARROW[plan.kinds[name]]) for name in unit.entry.keep)])


class HistoryEvents(NamedTuple):
    """m events of a unit in the order of key, instant and kept values; `kept`, a table of these. [m]"""

    unit: Unit
    seen: UnitRows
    instants: Whole
    kept: pa.Table

    def saved(self, earliest: int) -> pa.Table:
        """What later rows need, whose bounds are `earliest` or later: the last events of each key by then, and all after."""
        assert isinstance(self.unit.entry, History)
        timeline, num_keys = self.seen.timeline, len(self.seen.timeline.starts) - 1
        starts = timeline.starts[:-1]
        then = timeline.before(timeline.code(np.arange(num_keys), np.full(num_keys, earliest)))
        first = np.maximum(starts, then - self.unit.entry.last)
        chosen = spread(first, timeline.starts[1:] - first)
        keys = self.seen.keys[timeline.order[chosen]]
        columns = {name: self.seen.examples.column(name).take(pa.array(keys)) for name in self.seen.examples.column_names}
        return pa.table(columns | {"instant": self.instants[chosen]} | dict(zip(self.kept.column_names, self.kept.take(chosen).columns, strict=True)))


class Lists(NamedTuple):
    """The histories of n rows as runs of events, so that lists are made only for the rows that are asked for.

    Attributes: rows [n], their places in the log; bounds [n]; first and length [n], of each run.
    """

    rows: Whole
    bounds: Whole
    first: Whole
    length: Whole
    events: HistoryEvents

    def take(self, index: Whole) -> pa.Table:
        """Some of them as a table with the column `row` and a list column for each kept one."""
        unit, entry, lengths = self.events.unit, self.events.unit.entry, self.length[index]
        assert isinstance(entry, History)
        places = spread(self.first[index], lengths)
        offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
        found = {"row": pa.array(self.rows[index])}
        for name in entry.keep:
            values = pc.take(self.events.kept.column(f"keep.{name}").chunk(0), pa.array(places), boundscheck=False)
            found[f"{unit.prefix}.{name}"] = pa.ListArray.from_arrays(offsets, values)
        if entry.gap:
            days = (np.repeat(self.bounds[index] + unit.delay, lengths) - self.events.instants[places]) / DAY
            found[f"{unit.prefix}.gap"] = pa.ListArray.from_arrays(offsets, pa.array(days))
        return pa.table(found)


def collect(unit: Unit, plan: HistoryPlan, records: pa.Table, saved: pa.Table) -> tuple[Lists, HistoryEvents]:
    """The histories of the rows among the records, and the events in a form that can be saved.

    Args:
        saved: what `HistoryEvents.saved` gave before, for the keys of this partition.
    """
    entry = unit.entry
    assert isinstance(entry, History)
    counts = records.column(f"v.{entry.keep[0]}").is_valid()
    if entry.where is not None:
        counts = pc.and_(counts, pc.fill_null(records.column(f"w.{entry.where}"), False))
    seen = read_unit(unit, plan, records, saved, np.asarray(counts.to_numpy(), dtype=np.bool_))
    fresh = seen.events.select([f"v.{name}" for name in entry.keep]).rename_columns([f"keep.{name}" for name in entry.keep])
    kept = pa.concat_tables([saved.select(fresh.column_names), fresh])
    order = _with_ties_by_content(seen.timeline.order, seen.timeline.codes, kept)
    columns = {name: _whole(pc.take(kept.column(name), pa.array(order))) for name in kept.column_names}
    events = HistoryEvents(unit, seen, seen.instants[order], pa.table(columns))
    high = seen.timeline.before(seen.codes)
    first = np.maximum(seen.timeline.starts[seen.asked], high - entry.last)
    return Lists(seen.rows, seen.bounds, first, high - first, events), events


def _with_ties_by_content(order: Whole, codes: Whole, kept: pa.Table) -> Whole:
    """Events of one key and instant in the order of their kept values, null first, so that the order of the files cannot show."""
    same = codes[1:] == codes[:-1]
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    if not len(tied):
        return order
    content = pl.DataFrame(kept.take(pa.array(order[tied])).append_column("code", pa.array(codes[tied])))
    ranked = content.select(pl.arg_sort_by("code", *kept.column_names, nulls_last=False)).to_series().to_numpy()
    found = order.copy()
    found[tied] = order[tied][ranked]
    return found


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
