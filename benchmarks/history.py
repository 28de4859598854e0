"""Peak memory and rows per second of histories and counters as a log grows.

    python -m benchmarks.history [--millions 5 10 20]

A log of 200,000 users, 50,000 items and 20 categories over 60 days is generated in tables of 500,000 rows; clicks are 20 % of the rows, buys
3 %. Each build runs in a process of its own, whose peak resident memory is read when it ends. The declaration: the last 50 clicked items of a user
with gaps; counts and smoothed rates of two labels by user, item, and user and category, over 7 days and all time. Writing columns and state counts.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.machine import describe
from mtrec.history.build import build_history
from mtrec.history.plan import plan_history
from mtrec.schema import Roles, TimeFormat
from mtrec.sections import Counters, History, HistoryEntry

FOLDER = Path("runs/benchmark-history")
DAYS = 60
ENTRIES: dict[str, HistoryEntry] = {
    "clicks": History(by=["user"], where="is_click", keep=["item_id"], last=50),
    "past": Counters(of=["is_click", "is_buy"], by=[["user"], ["item"], ["user", "category"]], windows=["7d", "all"]),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, nargs="+", default=[5, 10, 20])
    parser.add_argument("--build", action="store_true", help="build once from the log that lies there: what the processes do")
    arguments = parser.parse_args()
    if arguments.build:
        build()
        return
    lines = ["| rows | order | seconds | CPU seconds | rows/s | peak MiB | columns, MiB | state, MiB |", "|---|---|---|---|---|---|---|---|"]
    for millions in arguments.millions:
        for order in ("time", "none")[: 2 if millions == min(arguments.millions) else 1]:
            lines.append(measure(millions * 1_000_000, order))
            print(lines[-1], flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pyarrow", "polars"))
    text = "\n".join(
        ["# Histories and counters as a log grows", "", f"{describe()}, {libraries}. Seconds include the start of the process.", "", *lines, ""]
    )
    Path("benchmarks/results/history.md").write_text(text)


def measure(num_rows: int, order: str) -> str:
    shutil.rmtree(FOLDER, ignore_errors=True)
    write_log(FOLDER / "log.parquet", num_rows, order)
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.history", "--build"])
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    if status != 0:
        raise SystemExit(f"the build ended with status {status}")
    sizes = [sum(file.stat().st_size for file in FOLDER.glob(pattern)) / 2**20 for pattern in ("out/columns.parquet", "out/state/*")]
    peak, busy = usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime
    return f"| {num_rows:,} | {order} | {seconds:.0f} | {busy:.0f} | {num_rows / seconds:,.0f} | {peak:,.0f} | {sizes[0]:,.0f} | {sizes[1]:,.0f} |"


def build() -> None:
    log = pq.ParquetFile(FOLDER / "log.parquet")
    plan = plan_history(ENTRIES, Roles(time="ts", user="user_id", item="item_id"), TimeFormat(), log.schema_arrow, {})
    rows = (pa.Table.from_batches([batch]) for batch in log.iter_batches(131_072, columns=plan.needed))
    build_history(plan, rows, {}, FOLDER / "out")


def write_log(path: Path, num_rows: int, order: str) -> None:
    path.parent.mkdir(parents=True)
    tables = generate(num_rows, order)
    first = next(tables)
    with pq.ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def generate(num_rows: int, order: str, rows_per_table: int = 500_000) -> Iterator[pa.Table]:
    random = np.random.default_rng(0)
    names = pa.array([f"category {number}" for number in range(20)])
    start, length = 1_700_000_000_000, DAYS * 86_400_000
    for first in range(0, num_rows, rows_per_table):
        size = min(rows_per_table, num_rows - first)
        between = (first / num_rows, (first + size) / num_rows) if order == "time" else (0.0, 1.0)
        times = start + (length * random.uniform(*between, size=size)).astype(np.int64)
        click = random.random(size) < 0.2
        yield pa.table(
            {
                "ts": np.sort(times) if order == "time" else times,
                "user_id": (200_000 * random.random(size) ** 1.5).astype(np.int64) * 1_000_003,
                "item_id": (50_000 * random.random(size) ** 2).astype(np.int64) * 7,
                "category": names.take(pa.array(random.integers(20, size=size))),
                "is_click": click,
                "is_buy": click & (random.random(size) < 0.15),
            }
        )


if __name__ == "__main__":
    main()
