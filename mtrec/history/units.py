"""The parts that declared histories and counters are computed in, and the columns of each."""

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from mtrec.history.faults import resolved
from mtrec.history.values import ARROW
from mtrec.schema import Roles
from mtrec.sections import Counters, History, HistoryEntry, duration

__all__ = ["Unit", "added_columns", "nanoseconds", "units_of"]


@dataclass(frozen=True)
class Unit:
    """What is computed together: one key of one entry.

    Attributes:
        name: that of the entry.
        key: the columns of the key; none for the unit that counts all events of an entry, towards whose means its rates are drawn.
        prefix: what its columns' names begin with.
        sources: the numbers of the sources whose rows are its events; the log is 0.
        delay: nanoseconds from an event to where it is known.
    """

    index: int
    name: str
    entry: History | Counters
    key: tuple[str, ...]
    prefix: str
    sources: tuple[int, ...]
    delay: int

    @property
    def windows(self) -> dict[str, int | None]:
        """The counting windows by name, in nanoseconds; None for all time."""
        assert isinstance(self.entry, Counters)
        return {name: None if name == "all" else nanoseconds(name) for name in self.entry.windows}

    @property
    def names(self) -> list[str]:
        """What the unit reads of an event besides its key: `v.` values, `w.` whether it counts, `y.` labels."""
        if isinstance(self.entry, Counters):
            return [f"y.{label}" for label in self.entry.of]
        return [*([f"w.{self.entry.where}"] if self.entry.where else []), *(f"v.{name}" for name in self.entry.keep)]


def nanoseconds(length: str) -> int:
    found = duration(length)
    return (found.days * 86_400 + found.seconds) * 10**9


def units_of(entries: dict[str, HistoryEntry], roles: Roles, sources: list[str]) -> list[Unit]:
    """The units of all entries, in the order of the columns that they add."""
    found: list[Unit] = []

    def add(name: str, entry: History | Counters, by: list[str], prefix: str) -> None:
        key = tuple(dict.fromkeys(resolved(part, roles) for part in by))
        numbers = tuple(sources.index(source) for source in dict.fromkeys(entry.events))
        found.append(Unit(len(found), name, entry, key, prefix, numbers, nanoseconds(entry.delay)))

    for name, entry in entries.items():
        if isinstance(entry, History):
            add(name, entry, entry.by, name)
            continue
        for by in entry.by:
            add(name, entry, by, f"{name}.{'+'.join(by)}")
        if entry.rates and entry.of:
            add(name, entry, [], name)
    return found


def added_columns(unit: Unit, kinds: Mapping[str, str]) -> list[pa.Field]:
    """The columns that a unit adds."""
    entry = unit.entry
    if isinstance(entry, History):
        kept = [pa.field(f"{unit.prefix}.{name}", pa.list_(ARROW[kinds[name]])) for name in entry.keep]
        return [*kept, *([pa.field(f"{unit.prefix}.gap", pa.list_(pa.float64()))] if entry.gap else [])]
    if not unit.key:
        return []
    names: list[str] = []
    for window in [*entry.windows, *(["decay"] if entry.half_life else [])]:
        names.append(f"{window}.events")
        for label in entry.of:
            names += [f"{window}.{label}", *([f"{window}.{label}.rate"] if entry.rates else [])]
    names += ["days_since_last", "days_since_first", "mean_gap"] if entry.recency else []
    return [pa.field(f"{unit.prefix}.{name}", pa.float64()) for name in names]
