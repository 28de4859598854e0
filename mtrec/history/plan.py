"""Declared histories and counters against the columns that are there: what is read, what is computed together, what is added."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter

from mtrec.errors import DataError
from mtrec.history.faults import faults_of
from mtrec.history.units import Unit, added_columns, units_of
from mtrec.history.values import kind_of
from mtrec.schema import Roles, TimeFormat
from mtrec.sections import HistoryEntry

__all__ = ["LOG", "HistoryPlan", "plan_history"]

LOG = "log"


@dataclass(frozen=True)
class HistoryPlan:
    """What histories and counters read and add.

    Attributes:
        entries, roles, time: as declared. clock: the column of times.
        sources: `log`, then the files whose rows are events only. read: the columns that are read from each.
        kinds: for each column that is read int, number or string.
    """

    entries: dict[str, HistoryEntry]
    roles: Roles
    time: TimeFormat
    clock: str
    sources: list[str]
    read: dict[str, list[str]]
    kinds: dict[str, str]
    units: list[Unit]

    def to_json(self) -> dict[str, Any]:
        """All that the plan can be made of again, without the columns of the log."""
        entries = [[name, entry.model_dump(mode="json")] for name, entry in self.entries.items()]  # A list, since their order matters.
        return {"entries": entries, "roles": self.roles.model_dump(), "time": self.time.model_dump(), "sources": self.sources, "kinds": self.kinds}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> "HistoryPlan":
        """What `to_json` gave, for a plan that reads its keys only."""
        entries = TypeAdapter(dict[str, HistoryEntry]).validate_python(dict(saved["entries"]))
        roles, time, sources = Roles.model_validate(saved["roles"]), TimeFormat.model_validate(saved["time"]), saved["sources"]
        assert roles.time is not None
        return cls(entries, roles, time, roles.time, sources, {}, saved["kinds"], units_of(entries, roles, sources))

    @property
    def needed(self) -> list[str]:
        """The columns that are read from the log."""
        return self.needed_of(LOG)

    def needed_of(self, source: str) -> list[str]:
        """The columns that are read from a source."""
        return self.read[source]

    @property
    def inputs(self) -> list[str]:
        """The columns that a row needs in order to be given its history: its time and keys."""
        return list(dict.fromkeys([self.clock, *(column for unit in self.units for column in unit.key)]))

    @cached_property
    def columns(self) -> pa.Schema:
        """The columns that are added, in their order."""
        return pa.schema([field for unit in self.units for field in added_columns(unit, self.kinds)])

    @cached_property
    def partitions(self) -> dict[str, list[Unit]]:
        """The units by the column that rows are cut by, one that their key holds: rows of one key then lie in one part."""
        alone = {unit.key[0] for unit in self.units if len(unit.key) == 1}
        found: dict[str, list[Unit]] = {}
        for unit in self.units:
            if unit.key:
                column = next((name for name in unit.key if name in alone), unit.key[0])
                found.setdefault(column, []).append(unit)
        return found

    @property
    def overall(self) -> list[Unit]:
        """The units without a key."""
        return [unit for unit in self.units if not unit.key]


def plan_history(
    entries: dict[str, HistoryEntry], roles: Roles, time: TimeFormat, columns: pa.Schema, events: Mapping[str, pa.Schema]
) -> HistoryPlan:
    """Check what is declared against the columns of the log and of the files of events.

    Args:
        columns: those of the log, joins included.
        events: the columns of each source that an entry names beside `log`.

    Raises:
        DataError: with all faults: columns that are missing or of a type that cannot be read so, no time, names that are taken.
    """
    schemas = {LOG: columns, **{name: schema for name, schema in events.items() if name != LOG}}
    sources = [LOG, *dict.fromkeys(name for entry in entries.values() for name in entry.events if name != LOG)]
    units = units_of(entries, roles, sources)
    faults = [*faults_of(entries, roles, schemas), *_clashes(units, columns.names)]
    if faults:
        raise DataError("The histories do not fit the log", found="; ".join(faults), do="Mend the names in `history`, or the files.")
    assert roles.time is not None
    wanted = list(dict.fromkeys([roles.time, *(column for unit in units for column in [*unit.key, *(name[2:] for name in unit.names)])]))
    read = {source: [name for name in wanted if name in schemas[source].names] for source in sources}
    kinds = {name: _kind([kind_of(schemas[source].field(name).type) for source in sources if name in read[source]]) for name in wanted[1:]}
    return HistoryPlan(entries, roles, time, roles.time, sources, read, kinds, units)


def _clashes(units: list[Unit], taken: list[str]) -> list[str]:
    names = [field.name for unit in units for field in added_columns(unit, defaultdict(lambda: "int"))]
    return [f"the name {name!r} of an added column is taken" for name, count in Counter([*dict.fromkeys(taken), *names]).items() if count > 1]


def _kind(found: list[str]) -> str:
    known = [kind for kind in found if kind != "null"]
    return "number" if "number" in known else known[0] if known else "int"
