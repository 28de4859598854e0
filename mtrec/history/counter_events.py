"""The events of counters in the order of their timeline, and the short form in which they are saved.

Saved are, by key, one row for all events that no later row tells apart, at the instant `BEFORE_ALL`, then one row for each instant.
"""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.history.decay import Decay, running
from mtrec.history.timeline import BEFORE_ALL
from mtrec.history.unit_rows import UnitRows
from mtrec.history.units import Unit, nanoseconds
from mtrec.sections import Counters

__all__ = ["CounterEvents", "half_life_of", "measures_of", "saved_counters"]

Whole = NDArray[np.int64]
Floats = NDArray[np.float64]


def measures_of(unit: Unit) -> list[str]:
    """What is counted: `events`, how many; for each label `sum.<label>`, and `known.<label>`, how many events know it."""
    assert isinstance(unit.entry, Counters)
    return ["events", *(f"{part}.{label}" for label in unit.entry.of for part in ("sum", "known"))]


def half_life_of(unit: Unit) -> int | None:
    """In nanoseconds; None where the unit has no decaying sums."""
    assert isinstance(unit.entry, Counters)
    return nanoseconds(unit.entry.half_life) if unit.entry.half_life and unit.key else None


def saved_counters(unit: Unit) -> pa.Schema:
    """The columns that are saved beside those of the key; `first` and `last` are the times of what a row stands for."""
    assert isinstance(unit.entry, Counters)
    half_life = half_life_of(unit)
    times = ["first", "last"] if unit.entry.recency or half_life else []
    decayed = [f"decay.{name}" for name in measures_of(unit)] if half_life else []
    return pa.schema([(name, pa.int64()) for name in ["instant", *times, *measures_of(unit)]] + [(name, pa.float64()) for name in decayed])


class CounterEvents:
    """m events of a unit in the order of key and instant.

    Attributes:
        measures: by name [m]; that of `known.<label>` is the very array of `events` where all events know the label.
        first, last: the times of what each event stands for [m]; empty where nothing asks for them.
        decayed: running sums [m] by name, left out as above. decay: what they are relative to.
    """

    def __init__(self, unit: Unit, seen: UnitRows, saved: pa.Table) -> None:
        assert isinstance(unit.entry, Counters)
        self.unit, self._seen = unit, seen
        order = self._order = seen.timeline.order
        self.keys, self.instants = seen.keys[order], seen.instants[order]
        self._before = {name: saved.column(name).to_numpy() for name in saved_counters(unit).names}
        self.measures = {"events": self._sorted("events", np.ones(seen.events.num_rows, dtype=np.int64))}
        for label in unit.entry.of:
            self._read_label(label)
        times = seen.instants[saved.num_rows :] - unit.delay
        empty = np.empty(0, dtype=np.int64)
        self.first, self.last = (self._sorted(name, times) if name in self._before else empty for name in ("first", "last"))
        half_life = half_life_of(unit)
        self.decay = None if half_life is None else Decay(half_life, self.last)
        self.decayed = {} if self.decay is None else self._running_decay(self.decay)

    def saved(self, earliest: int) -> pa.Table:
        """What later rows need, whose bounds are `earliest` or later."""
        windows = [length or 0 for length in self.unit.windows.values()] if self.unit.key else []
        old = self.instants < earliest - max(windows, default=0)
        heads = np.flatnonzero((np.diff(self.keys, prepend=-1) != 0) | (~old & (np.diff(self.instants, prepend=0) != 0)))
        ends = np.append(heads, len(old))[1:] - 1
        examples = self._seen.examples
        columns = {name: examples.column(name).take(pa.array(self.keys[heads])) for name in examples.column_names}
        columns["instant"] = np.where(old[heads], BEFORE_ALL, self.instants[heads])
        if len(self.last) or "last" in self._before:
            columns |= {"first": self.first[heads], "last": self.last[ends]}
        columns |= {name: _sums(values, heads) for name, values in self.measures.items()}
        if self.decay is not None:
            for name in measures_of(self.unit):
                sums = self.decayed.get(name, self.decayed["events"])
                columns[f"decay.{name}"] = np.where(old[heads], self.decay.saved(sums[ends], self.last[ends]), 0.0)
        return pa.table(columns)

    def _sorted(self, name: str, values: Whole) -> Whole:
        return np.concatenate([self._before[name], values])[self._order]

    def _read_label(self, label: str) -> None:
        column = self._seen.events.column(f"y.{label}").combine_chunks()
        self.measures[f"sum.{label}"] = self._sorted(f"sum.{label}", column.fill_null(0).to_numpy())
        known = f"known.{label}"
        if column.null_count == 0 and np.array_equal(self._before[known], self._before["events"]):
            self.measures[known] = self.measures["events"]
        else:
            self.measures[known] = self._sorted(known, column.is_valid().to_numpy(zero_copy_only=False).astype(np.int64))

    def _running_decay(self, decay: Decay) -> dict[str, Floats]:
        """Over the instants of each key; the whole numbers of one instant are added first, so that the order of ties cannot show."""
        codes, found = self._seen.timeline.codes, {}
        heads = np.flatnonzero(np.diff(codes, prepend=-1))
        group = np.repeat(np.arange(len(heads)), np.diff(heads, append=len(codes)))
        is_base = self.instants[heads] == BEFORE_ALL
        for name, values in self.measures.items():
            if name == "events" or values is not self.measures["events"]:
                terms = decay.terms(_sums(values, heads), self.last[heads])
                base = self._before[f"decay.{name}"][self._order[heads[is_base]]]
                terms[is_base] = decay.restored(base, self.last[heads[is_base]])
                found[name] = running(self.keys[heads], terms)[group]
        return found


def _sums(values: Whole, heads: Whole) -> Whole:
    return np.add.reduceat(values, heads) if len(heads) else values
