"""What is wrong with declared histories and counters, given the columns that are there."""

from collections.abc import Iterator

import pyarrow as pa

from mtrec.history.times import LONGEST, is_time
from mtrec.history.values import kind_of
from mtrec.registry import suggest
from mtrec.schema import Roles
from mtrec.sections import Counters, History, HistoryEntry, duration

__all__ = ["faults_of", "resolved"]

_LOG = "log"
_ROLES = ("user", "item", "session")
_TAKES = {"by": ("int", "string"), "where": ("int", "number"), "of": ("int", "number"), "keep": ("int", "number", "string")}


def resolved(part: str, roles: Roles) -> str:
    """The column of a part of a key: a role's, or the part itself."""
    column: str | None = getattr(roles, part) if part in _ROLES else None
    return column or part


def faults_of(entries: dict[str, HistoryEntry], roles: Roles, schemas: dict[str, pa.Schema]) -> list[str]:
    """All faults, a sentence without its full stop each."""
    if roles.time is None:
        return ["a history needs the time column: set log.roles.time"]
    found: list[str] = []
    for name, entry in entries.items():
        found += _of_lengths(name, entry)
        found += [f"history.{name}.events: the columns of {source!r} are not known" for source in entry.events if source not in schemas]
        for place, part in _parts(entry):
            column = resolved(part, roles) if place == "by" else part
            found += _of_column(f"history.{name}.{place}", column, _TAKES[place], schemas, [source for source in entry.events if source in schemas])
        found += [f"history.{name}.events: {lack}" for lack in _useless(entry, roles, schemas)]
    for source in dict.fromkeys([_LOG, *(source for entry in entries.values() for source in entry.events)]):
        found += _of_time(roles.time, source, schemas[source]) if source in schemas else []
    return list(dict.fromkeys(found))


def _parts(entry: HistoryEntry) -> Iterator[tuple[str, str]]:
    """Every column that an entry names, and the option that names it."""
    keys = [entry.by] if isinstance(entry, History) else entry.by
    yield from (("by", part) for key in keys for part in key)
    if isinstance(entry, Counters):
        yield from (("of", label) for label in entry.of)
    else:
        yield from (("keep", name) for name in entry.keep)
        yield from [("where", entry.where)] if entry.where else []


def _of_column(where: str, column: str, takes: tuple[str, ...], schemas: dict[str, pa.Schema], sources: list[str]) -> Iterator[str]:
    """The log holds a column that its rows are events by, and keys in any case; files may lack it."""
    read = dict.fromkeys([*([_LOG] if where.endswith(".by") else []), *sources])
    kinds = {source: kind_of(schemas[source].field(column).type) for source in read if schemas[source].names.count(column) == 1}
    for source in read:
        times = schemas[source].names.count(column)
        if times > 1 or (times == 0 and (source == _LOG or not kinds)):
            known = list(dict.fromkeys(schemas[source].names))
            hint = suggest(column, known)
            yield f"{where}: {source} has {times or 'no'} column{'s' if times else ''} {column!r}{f'. {hint}' if hint else ''}".rstrip(".")
    for source, kind in kinds.items():
        if kind not in (*takes, "null"):
            yield f"{where}: column {column!r} of {source} is {schemas[source].field(column).type}; it takes {' or '.join(takes)}"
    if len({kind == "string" for kind in kinds.values() if kind != "null"}) > 1:
        yield f"{where}: column {column!r} is text in one source and numbers in another: {kinds}"


def _useless(entry: HistoryEntry, roles: Roles, schemas: dict[str, pa.Schema]) -> Iterator[str]:
    """Files none of whose rows could ever be an event."""
    keys = [[resolved(part, roles) for part in key] for key in ([entry.by] if isinstance(entry, History) else entry.by)]
    must = [entry.keep[0], *([entry.where] if entry.where else [])] if isinstance(entry, History) else []
    for source in entry.events:
        if source != _LOG and source in schemas:
            names = schemas[source].names
            lacks = [column for column in must if column not in names]
            if lacks or not any(all(column in names for column in key) for key in keys):
                lacks = lacks or sorted({column for key in keys for column in key if column not in names})
                yield f"no row of {source} can be an event: it has no column {' or '.join(map(repr, lacks))}"


def _of_lengths(name: str, entry: HistoryEntry) -> Iterator[str]:
    lengths = [("delay", entry.delay)]
    if isinstance(entry, Counters):
        lengths += [("windows", window) for window in entry.windows if window != "all"]
        lengths += [("half_life", entry.half_life)] if entry.half_life else []
    for option, length in lengths:
        seconds = duration(length).total_seconds()
        if seconds * 1e9 > LONGEST or (seconds == 0 and option != "delay"):
            yield f"history.{name}.{option}: {length} lies outside of what can be counted, 1 second to 36 years"


def _of_time(clock: str, source: str, schema: pa.Schema) -> Iterator[str]:
    if schema.names.count(clock) != 1:
        hint = suggest(clock, list(schema.names))
        yield f"{source} has no column {clock!r}, the time{f'. {hint}' if hint else ''}".rstrip(".")
    elif not is_time(schema.field(clock).type):
        yield f"column {clock!r} of {source}, the time, is {schema.field(clock).type}"
