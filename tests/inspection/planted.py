"""A log without faults, in which tests plant them: stationary, with histories and counters of what was strictly earlier."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.config import Config, parse
from mtrec.inspection.finding import Finding
from mtrec.inspection.report import Report
from mtrec.jobs.check import check

ROWS, USERS, ITEMS = 4000, 40, 30
START, MINUTE = 1_700_000_000_000, 60_000
VALID_FROM, TEST_FROM = START + 2600 * MINUTE, START + 3300 * MINUTE

Columns = dict[str, Any]


def shop(seed: int = 0) -> Columns:
    """The columns of the log: numpy arrays, or lists where there are nulls, texts or lists."""
    random = np.random.default_rng(seed)
    user, item = random.integers(USERS, size=ROWS), random.integers(ITEMS, size=ROWS)
    taste = random.normal(size=(USERS, 2)) @ random.normal(size=(2, ITEMS))
    click = random.random(ROWS) < 1 / (1 + np.exp(1.0 - 0.7 * taste[user, item]))
    buy = random.random(ROWS) < 0.4
    seconds = random.lognormal(2.0, 0.5, ROWS)
    return {
        "row_id": np.arange(ROWS),
        "ts": START + np.arange(ROWS) * MINUTE,
        "user": user,
        "item": item + 1000,
        "kind": [f"kind{number % 4}" for number in item],
        "price": [None if gone else value for gone, value in zip(random.random(ROWS) < 0.1, random.random(ROWS), strict=True)],
        "past": past_items(user, item + 1000, click, random),
        "is_click": click.astype(np.int8),
        "is_buy": [int(bought) if clicked else None for clicked, bought in zip(click, buy, strict=True)],
        "seconds": [float(value) if clicked else None for clicked, value in zip(click, seconds, strict=True)],
    }


def past_items(user: Any, item: Any, click: Any, random: np.random.Generator, own: float = 0.0) -> list[list[int]]:
    """The last three clicked items of each row's user, newest last; in the share `own` of the clicks, the row's own is there already."""
    seen: dict[int, list[int]] = {who: (1000 + random.integers(ITEMS, size=3)).tolist() for who in range(USERS)}
    found = []
    for who, what, clicked in zip(user.tolist(), item.tolist(), click.tolist(), strict=True):
        after = [*seen[who][1:], what] if clicked else seen[who]
        found.append(list(after if random.random() < own else seen[who]))
        seen[who] = after
    return found


def counted(keys: list[Any], label: Any, own: bool, last: int | None = None) -> Any:
    """For each row the sum of the labels of earlier rows of its key (of the last so many), with its own where `own`. [rows]"""
    seen: dict[tuple[Any, ...], list[int]] = {}
    found = np.zeros(len(label))
    for row, (key, outcome) in enumerate(zip(zip(*(each.tolist() for each in keys), strict=True), label.tolist(), strict=True)):
        events = seen.setdefault(key, [])
        with_own = [*events, outcome] if own else events
        found[row] = sum(with_own if last is None else with_own[-last:])
        events.append(outcome)
    return found


def configured(folder: Path, **changes: Any) -> Config:
    """The configuration of the log; `changes` are sections, or further numbers, ids and sequences."""
    features = {
        "ids": ["item", "kind", *changes.pop("ids", [])],
        "numbers": ["price", *changes.pop("numbers", [])],
        "sequences": [{"from": "past", "shares": {"past": "item"}}, *changes.pop("sequences", [])],
    }
    log = {
        "source": str(folder / "log.parquet"),
        "roles": {"time": "ts", "user": "user", "item": "item", "keys": ["row_id"]},
        "split": {"by": "time", "valid_from": VALID_FROM, "test_from": TEST_FROM},
    }
    tasks = {
        "click": {"label": "is_click"},
        "buy": {"label": "is_buy", "given": "click"},
        "seconds": {"label": "seconds", "kind": "regression", "given": "click"},
    }
    return parse({"name": "shop", "run_dir": str(folder / "run"), "log": log, "features": features, "tasks": tasks, **changes})


def write(folder: Path, columns: Columns) -> None:
    pq.write_table(pa.table(columns), folder / "log.parquet")


def look(folder: Path, columns: Columns, **changes: Any) -> Report:
    """Write the log and check it."""
    write(folder, columns)
    return check(configured(folder, **changes))


def told(report: Report, *levels: str) -> list[Finding]:
    """The findings of some levels."""
    return [finding for finding in report.findings if finding.level in levels]


def places(report: Report, *levels: str) -> set[str]:
    """Where the findings of some levels are."""
    return {finding.where for finding in told(report, *levels)}
