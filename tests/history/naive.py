"""The definition of histories and counters, row by row and event by event, from Python values only."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from mtrec.sections import Counters, History, duration

Row = dict[str, Any]
SECOND, DAY = 10**9, 86_400 * 10**9


def naive(
    entries: dict[str, Any], rows: list[Row], files: dict[str, list[Row]], keys: dict[str, str], zone: str, kinds: dict[str, str]
) -> dict[str, list[Any]]:
    """The added columns; `time` is in seconds. `keys`: the column of each role; `kinds`: of labels, int or number."""
    found: dict[str, list[Any]] = {}
    for name, entry in entries.items():
        events = [event for source in entry.events for event in (rows if source == "log" else files[source])]
        for row in rows:
            bound = row["time"] * SECOND if entry.as_of == "event" else _midnight(row["time"], zone)
            visible = [event for event in events if event["time"] * SECOND + _ns(entry.delay) < bound]
            added = (
                _history(name, entry, row, bound, visible, keys)
                if isinstance(entry, History)
                else _counts(name, entry, row, bound, visible, keys, kinds)
            )
            for column, value in added.items():
                found.setdefault(column, []).append(value)
    return found


def _ns(length: str) -> int:
    return duration(length) // timedelta(seconds=1) * SECOND


def _midnight(seconds: int, zone: str) -> int:
    local = datetime.fromtimestamp(seconds, UTC).astimezone(ZoneInfo(zone))
    return int(local.replace(hour=0, minute=0, second=0, fold=0).timestamp()) * SECOND


def _of_key(row: Row, visible: list[Row], by: list[str], keys: dict[str, str]) -> list[Row] | None:
    columns = [keys.get(part, part) for part in by]
    mine = [row.get(column) for column in columns]
    return None if None in mine else [event for event in visible if [event.get(column) for column in columns] == mine]


def _history(name: str, entry: History, row: Row, bound: int, visible: list[Row], keys: dict[str, str]) -> Row:
    mine = _of_key(row, visible, entry.by, keys) or []
    mine = [event for event in mine if (entry.where is None or event.get(entry.where) == 1) and event.get(entry.keep[0]) is not None]
    mine.sort(
        key=lambda event: (
            event["time"],
            [(event.get(kept) is not None, event.get(kept) or 0 if event.get(kept) is None else event[kept]) for kept in entry.keep],
        )
    )
    mine = mine[-entry.last :]
    found: Row = {f"{name}.{kept}": [event.get(kept) for event in mine] for kept in entry.keep}
    return found | ({f"{name}.gap": [(bound - event["time"] * SECOND) / DAY for event in mine]} if entry.gap else {})


def _counts(name: str, entry: Counters, row: Row, bound: int, visible: list[Row], keys: dict[str, str], kinds: dict[str, str]) -> Row:
    found: Row = {}
    for by in entry.by:
        prefix, mine = f"{name}.{'+'.join(by)}", _of_key(row, visible, by, keys)
        for window in [*entry.windows, *(["decay"] if entry.half_life else [])]:
            inside = mine
            if mine is not None and window not in ("all", "decay"):
                inside = [event for event in mine if event["time"] * SECOND + _ns(entry.delay) >= bound - _ns(window)]
            weight = (lambda event: 0.5 ** ((bound - event["time"] * SECOND) / _ns(entry.half_life))) if window == "decay" else (lambda _: 1)
            found[f"{prefix}.{window}.events"] = None if inside is None else float(sum(map(weight, inside)))
            for label in entry.of:
                total, rate = (None, None) if inside is None else _sums(entry, label, inside, visible, weight, kinds[label])
                found[f"{prefix}.{window}.{label}"] = total
                if entry.rates:
                    found[f"{prefix}.{window}.{label}.rate"] = rate
        if entry.recency:
            times = sorted(event["time"] * SECOND for event in mine or [])
            found[f"{prefix}.days_since_last"] = (bound - times[-1]) / DAY if times else None
            found[f"{prefix}.days_since_first"] = (bound - times[0]) / DAY if times else None
            found[f"{prefix}.mean_gap"] = (times[-1] - times[0]) / DAY / (len(times) - 1) if len(times) > 1 else None
    return found


def _sums(entry: Counters, label: str, inside: list[Row], visible: list[Row], weight: Any, kind: str) -> tuple[float, float | None]:
    step = 65536 if kind == "number" else 1
    total = float(sum(weight(event) * round(event[label] * step) for event in inside if event.get(label) is not None)) / step
    known = float(sum(weight(event) for event in inside if event.get(label) is not None))
    all_known = [round(event[label] * step) for event in visible if event.get(label) is not None]
    if known + entry.smoothing == 0 or not all_known:
        return total, None
    prior = sum(all_known) / step / len(all_known)
    if entry.centred:
        return total, (total - known * prior) / (known + entry.smoothing)
    return total, (total + entry.smoothing * prior if entry.smoothing else total) / (known + entry.smoothing)
