"""What a unit sees of a partition: which records are its events, which rows ask, and where each row's bound lies."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.history.keys import number_keys
from mtrec.history.plan import HistoryPlan
from mtrec.history.timeline import Timeline
from mtrec.history.times import day_starts
from mtrec.history.units import Unit

__all__ = ["UnitRows", "bound_of", "read_unit"]

Whole = NDArray[np.int64]


class UnitRows(NamedTuple):
    """The events and asking rows of a unit in one partition.

    Attributes:
        events: the records that are events and have a key; instants [m + s]: of saved events, then of these, when they are known.
        keys: [m + s] their keys; num_keys.
        rows: [n] places in the log of the rows that ask, key by key and by bound; asked [n] the numbers of their keys; bounds [n].
        timeline: of all m + s events; codes [n], what the rows look up there.
        examples: for each number of a key, the key columns: a table of num_keys rows, for numbers that occur.
    """

    events: pa.Table
    instants: Whole
    keys: Whole
    rows: Whole
    asked: Whole
    bounds: Whole
    codes: Whole
    timeline: Timeline
    examples: pa.Table


def bound_of(unit: Unit, times: Whole, zone: str) -> Whole:
    """The instant before which a row sees events: its own time, or the start of its day. [n]"""
    return day_starts(times, zone) if unit.entry.as_of == "day" else times


def read_unit(unit: Unit, plan: HistoryPlan, records: pa.Table, saved: pa.Table, counts: NDArray[np.bool_] | bool = True) -> UnitRows:
    """Sort the events of a unit, and the rows that ask, by key and instant.

    Args:
        saved: events from a saved state, with a column `instant`.
        counts: which records count as events.
    """
    names = [f"v.{column}" for column in unit.key]
    together = pa.concat_tables([saved.select(names), records.select(names)]) if names else pa.table({})
    numbers, num_keys = number_keys([together.column(name) for name in names], saved.num_rows + records.num_rows)
    own = numbers[saved.num_rows :]
    times, row, source = (records.column(name).to_numpy() for name in ("time", "row", "source"))
    is_event = np.isin(source, unit.sources) & (own >= 0) & counts
    asks = (row >= 0) & (own >= 0)
    events, event_times, event_keys = (
        (records, times, own) if is_event.all() else (records.filter(pa.array(is_event)), times[is_event], own[is_event])
    )
    instants = np.concatenate([saved.column("instant").to_numpy(), event_times + unit.delay])
    keys = np.concatenate([numbers[: saved.num_rows], event_keys])
    timeline = Timeline(keys, instants, num_keys)
    rows, asked, bounds = (row, own, times) if asks.all() else (row[asks], own[asks], times[asks])
    bounds = bound_of(unit, bounds, plan.time.zone)
    codes = timeline.code(asked, bounds)
    # Bounds rise with times: where every record is an event and asks, both have one order.
    order = timeline.order if is_event.all() and asks.all() and not saved.num_rows else np.argsort(codes)
    place = np.zeros(num_keys, dtype=np.int64)
    known = numbers >= 0
    place[numbers[known]] = np.flatnonzero(known)
    examples = together.take(pa.array(place)) if names else together
    return UnitRows(events, instants, keys, rows[order], asked[order], bounds[order], codes[order], timeline, examples)
