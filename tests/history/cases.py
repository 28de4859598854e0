"""Random logs and declarations, small and full of ties, nulls, late rows and keys that are never seen."""

import random
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.history.build import build_history
from mtrec.history.plan import HistoryPlan, plan_history
from mtrec.schema import Roles, TimeFormat
from mtrec.sections import Counters, History

START = 1_699_000_000  # Two days before clocks in New York were put back.
TYPES = {
    "time": pa.int64(),
    "uid": pa.int64(),
    "item": pa.string(),
    "tab": pa.int32(),
    "click": pa.bool_(),
    "stars": pa.int16(),
    "spend": pa.float64(),
    "price": pa.float32(),
}
ROLES = Roles(time="time", user="uid", item="item")
KEYS = {"user": "uid", "item": "item"}
KINDS = {"click": "int", "stars": "int", "spend": "number"}


class Case(NamedTuple):
    entries: dict[str, Any]
    rows: list[dict[str, Any]]
    files: dict[str, list[dict[str, Any]]]
    zone: str

    @property
    def time(self) -> TimeFormat:
        return TimeFormat(unit="s", zone=self.zone)

    def table(self, rows: list[dict[str, Any]] | None = None) -> pa.Table:
        return table(self.rows if rows is None else rows, list(TYPES))

    def file(self, name: str, rows: list[dict[str, Any]] | None = None) -> pa.Table:
        columns = [column for column in TYPES if not (name == "old" and column in ("tab", "stars"))]
        return table(self.files[name] if rows is None else rows, columns)

    def plan(self) -> HistoryPlan:
        return plan_history(self.entries, ROLES, self.time, self.table().schema, {name: self.file(name).schema for name in self.files})


def table(rows: list[dict[str, Any]], columns: list[str]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], TYPES[name]) for name in columns})


def built(plan: HistoryPlan, rows: pa.Table, files: dict[str, pa.Table], out: Path, state: Path | None = None) -> pa.Table:
    build_history(plan, slices(rows), {name: slices(each) for name, each in files.items()}, out, state)
    return pq.read_table(out / "columns.parquet")


def slices(rows: pa.Table, size: int = 17) -> list[pa.Table]:
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def random_case(seed: int, num_rows: int = 60) -> Case:
    draw = random.Random(seed)
    step = draw.choice([1800, 3600, 43_200, 86_400])
    days = draw.choice([3, 12])

    def row(missing: tuple[str, ...] = ()) -> dict[str, Any]:
        found = {
            "time": START + draw.randrange(days * 86_400) // step * step,
            "uid": draw.choice([1, 2, 2**53 + 1, 2**53, None]),
            "item": draw.choice(["a", "b", "ü", "", None]),
            "tab": draw.choice([0, 1, 1, None]),
            "click": draw.choice([True, True, False, None]),
            "stars": draw.choice([1, 5, -3, None]),
            "spend": draw.choice([0.0, 1.25, 1e9 + 1 / 3, -7.1, 1e-7, None]),
            "price": draw.choice([0.5, 2.0, None]),
        }
        return found | dict.fromkeys(missing)

    files = {name: [row(("tab", "stars") if name == "old" else ()) for _ in range(draw.randrange(20))] for name in ("old", "more")}
    rows = [row() for _ in range(num_rows)]
    if draw.random() < 0.5:
        rows.sort(key=lambda each: each["time"])
    entries = {name: _history(draw) if name.startswith("h") else _counters(draw) for name in draw.choice([("h", "c"), ("h", "h2", "c"), ("c", "c2")])}
    used = {source for entry in entries.values() for source in entry.events}
    return Case(
        entries, rows, {name: each for name, each in files.items() if name in used}, draw.choice(["UTC", "America/New_York", "Asia/Shanghai"])
    )


def _common(draw: random.Random) -> dict[str, Any]:
    return {
        "as_of": draw.choice(["event", "day"]),
        "delay": draw.choice(["0s", "0s", "1h", "1d", "45s"]),
        "events": draw.choice([["log"], ["log", "old"], ["old", "more", "log"], ["more"]]),
    }


def _history(draw: random.Random) -> History:
    keep = draw.choice([["item"], ["stars", "item", "price"], ["price", "uid", "click"], ["spend"]])
    common = _common(draw)
    if keep[0] == "stars":
        common["events"] = ["log"]
    where = draw.choice([None, "click", "click"])
    return History(
        by=draw.choice([["user"], ["item"], ["uid", "item"]]),
        where=where,
        keep=keep,
        last=draw.choice([1, 2, 5, 50]),
        gap=draw.random() < 0.8,
        **common,
    )


def _counters(draw: random.Random) -> Counters:
    return Counters(
        of=draw.choice([["click"], ["click", "spend"], ["stars", "spend"], []]),
        by=draw.choice([[["user"], ["item"], ["user", "tab"]], [["tab", "item"], ["user"]], [["user", "item", "tab"], ["user"]]]),
        windows=draw.choice([["all"], ["7d", "all"], ["1d", "36h", "all"], ["1d"]]),
        half_life=draw.choice([None, "6h", "2d"]),
        smoothing=draw.choice([0.0, 20.0, 0.3]),
        rates=draw.random() < 0.8,
        centred=draw.random() < 0.5,
        recency=draw.random() < 0.6,
        **_common(draw),
    )
