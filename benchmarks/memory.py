"""Peak memory and rows per second of `prepare` and `train` as a log grows.

    python -m benchmarks.memory [--millions 1 3 10]

A log of 200,000 users and 50,000 items is generated in tables of 100,000 rows; each verb runs in a process of its own, whose peak resident memory is
read when it ends. Training is one epoch.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from benchmarks.machine import describe
from mtrec.data.synthetic import write

FOLDER = Path("runs/benchmark-memory")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=int, nargs="+", default=[1, 3, 10])
    lines = ["| rows | prepare, peak MiB | prepare, rows/s | train, peak MiB | train, rows/s |", "|---|---|---|---|---|"]
    for millions in parser.parse_args().millions:
        num_rows = millions * 1_000_000
        shutil.rmtree(FOLDER, ignore_errors=True)
        write(FOLDER / "log.parquet", num_rows, num_users=200_000, num_items=50_000)
        (FOLDER / "config.yaml").write_text(yaml.safe_dump(config(num_rows)))
        measured = [run(verb) for verb in ("prepare", "train")]
        cells = [f"{peak:.0f} | {num_rows / seconds:,.0f}" for peak, seconds in measured]
        lines.append(f"| {num_rows:,} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    shutil.rmtree(FOLDER, ignore_errors=True)
    text = "\n".join(["# Memory as a log grows", "", f"{describe()}. Seconds include the start of the process.", "", *lines, ""])
    Path("benchmarks/results/memory.md").write_text(text)


def config(num_rows: int) -> dict[str, object]:
    values: dict[str, object] = yaml.safe_load(Path("configs/smoke.yaml").read_text())
    start = 1_700_000_000_000
    split = {"by": "time", "valid_from": start + int(num_rows * 0.97) * 60_000, "test_from": start + int(num_rows * 0.985) * 60_000}
    values |= {"run_dir": str(FOLDER / "run"), "tracking": {"kind": "none"}, "training": {"epochs": 1, "batch_size": 4096}}
    values["log"] = {**values["log"], "source": str(FOLDER / "log.parquet"), "split": split}  # type: ignore[dict-item]
    return values


def run(verb: str) -> tuple[float, float]:
    """Peak resident memory in MiB, and seconds."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "mtrec", verb, str(FOLDER / "config.yaml")], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"mtrec {verb} ended with status {status}")
    return usage.ru_maxrss / 1024, time.perf_counter() - started


if __name__ == "__main__":
    main()
