"""Counters of one key in one partition: running sums over sorted events, differences of which are the counts of windows."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.history.counter_events import CounterEvents
from mtrec.history.plan import HistoryPlan
from mtrec.history.times import DAY
from mtrec.history.unit_rows import UnitRows, read_unit
from mtrec.history.units import Unit
from mtrec.history.values import FRACTION, narrow
from mtrec.sections import Counters

__all__ = ["Counts", "count"]

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """The counts of rows.

    Attributes: rows [n], their places in the log; columns, by name [n], where what equals `events` is left out.
    """

    rows: Whole
    columns: dict[str, Whole | Floats]

    def take(self, index: Whole) -> pa.Table:
        """Some of them as a table with the column `row`."""
        return pa.table({"row": self.rows[index], **{name: narrow(values[index]) for name, values in self.columns.items()}})


def count(unit: Unit, plan: HistoryPlan, records: pa.Table, saved: pa.Table) -> tuple[Counts, CounterEvents]:
    """The counts of the rows among the records, and the events in a form that can be saved.

    Args:
        saved: what `CounterEvents.saved` gave before, for the keys of this partition.
    """
    assert isinstance(unit.entry, Counters)
    seen = read_unit(unit, plan, records, saved)
    events = CounterEvents(unit, seen, saved)
    high, low = seen.timeline.before(seen.codes), seen.timeline.starts[seen.asked]
    if not unit.key:
        return Counts(seen.rows, _means(unit, plan, events, high)), events
    found = _windows(unit, seen, events, high, low) | _decayed(seen, events, high, low)
    found |= _recency(seen, events, high, low) if unit.entry.recency else {}
    return Counts(seen.rows, {f"{unit.prefix}.{name}": values for name, values in found.items()}), events


def _windows(unit: Unit, seen: UnitRows, events: CounterEvents, high: Whole, low: Whole) -> dict[str, Whole | Floats]:
    timeline = seen.timeline
    lows = {
        window: low if length is None else timeline.before(timeline.code(seen.asked, seen.bounds - length)) for window, length in unit.windows.items()
    }
    found: dict[str, Whole | Floats] = {}
    for name, values in events.measures.items():
        if name == "events" or values is not events.measures["events"]:
            total = _running(values)
            upper = total[high]
            found |= {f"{window}.{name}": upper - total[first] for window, first in lows.items()}
    return found


def _decayed(seen: UnitRows, events: CounterEvents, high: Whole, low: Whole) -> dict[str, Whole | Floats]:
    has, found = high > low, dict[str, Whole | Floats]()
    for name, sums in events.decayed.items():
        assert events.decay is not None
        found[f"decay.{name}"] = np.zeros(len(high))
        found[f"decay.{name}"][has] = events.decay.at(sums[high[has] - 1], seen.bounds[has])
    return found


def _recency(seen: UnitRows, events: CounterEvents, high: Whole, low: Whole) -> dict[str, Whole | Floats]:
    """In days; NaN where there is none."""
    has = high > low
    last, first, bounds = events.last[high[has] - 1], events.first[low[has]], seen.bounds[has]
    total = _running(events.measures["events"])
    between = (total[high] - total[low])[has] - 1
    gaps = np.divide((last - first) / DAY, between, out=np.full(len(between), np.nan), where=between > 0)
    found = {}
    for name, days in {"days_since_last": (bounds - last) / DAY, "days_since_first": (bounds - first) / DAY, "mean_gap": gaps}.items():
        found[name] = np.full(len(high), np.nan)
        found[name][has] = days
    return found


def _means(unit: Unit, plan: HistoryPlan, events: CounterEvents, high: Whole) -> dict[str, Whole | Floats]:
    """The mean of each label over all events before each row; NaN where none is known."""
    assert isinstance(unit.entry, Counters)
    found: dict[str, Whole | Floats] = {}
    for label in unit.entry.of:
        sums = _running(events.measures[f"sum.{label}"])[high] * (FRACTION if plan.kinds[label] == "number" else 1.0)
        known = _running(events.measures[f"known.{label}"])[high]
        found[f"{unit.prefix}.{label}.prior"] = np.divide(sums, known, out=np.full(len(sums), np.nan), where=known > 0)
    return found


def _running(values: Whole) -> Whole:
    """Of the first i values, i from 0. [m + 1]"""
    return np.concatenate([[0], np.cumsum(values)])
