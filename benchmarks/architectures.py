"""Every architecture on the same logs, with as many dense parameters: which is worth its cost?

    python -m benchmarks.architectures --set demo|kuairand|sine [--seeds 0,1,2] [--only mmoe,ple]
    python -m benchmarks.architectures --write-configs

demo: a fifth of the households of Complete Journey. kuairand: the days of configs/kuairand.yaml. sine: two tasks of correlation 1, 0 and .5, on
another log for each seed. The learning rate of the dense model is chosen on valid, from a few, with the first seed, and the tables show test for that
one alone. A row is kept as each run ends, so that a stopped benchmark goes on; the tables are written anew after each seed. One thread.

What it costs that tasks are not related is told by all seeds that are there. More of them are made by `--set sine --only shared_bottom,mmoe --seeds
$(seq -s, 0 71)`; call it once more without arguments, and all the tables have the first three again.
"""

import argparse
import hashlib
import json
import math
import shutil
import time
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml

from benchmarks.architecture_configs import FOLDER as CONFIGS
from benchmarks.architecture_configs import ROWS as MODELS
from benchmarks.architecture_configs import SETS, committed, config_of, num_dense, rows_of
from benchmarks.architecture_tables import Log, Result, chosen_rate, cost_of_unrelated, table
from benchmarks.machine import describe
from mtrec.config import Config, parse
from mtrec.data.synthetic_sine import Sine
from mtrec.evaluation.evaluate import flat
from mtrec.hash64 import hash_array
from mtrec.jobs.load import load_run
from mtrec.jobs.prepare import prepare
from mtrec.jobs.train import train
from mtrec.training import checkpoint
from pipelines.folders import replacing
from pipelines.synthetic import build

ROWS = Path("benchmarks/results/architectures.jsonl")
TABLES = Path("benchmarks/results/architectures.md")
FOLDER = Path("runs/benchmark-architectures")
SAMPLE = 5  # Of so many households one is taken.
SINE_ROWS = 240_000
ABOUT = """One thread. ± is half of the 95 % interval over seeds (Student's t), of paired differences in the columns `against`. The learning
rate is chosen on valid with the first seed, from three (sine: two), and is the middle one for dtrn_mmoe and multitab, which are slow; test is
shown for the chosen one alone. Widths are searched so that the dense parameters (encoder, architecture, towers) are those of MMoE, give or take a
tenth; multitab has its default sizes, as larger ones would take hours, and stem_ple has an embedding of each id for every task besides, which is
not counted. All other options are the defaults. The same configurations stand in configs/architectures. Each seed of sine has a log of its own,
with other weights and waves, so that intervals are wide: the same seed on both sides of a difference has the same waves."""

DEMO_TASKS = ("buy", "multi", "discount", "private")  # Coupons are too rare in the sample to choose or compare by.
LOGS = {
    "demo": [Log("demo", "complete_journey", "data/complete_journey_sample/log", DEMO_TASKS, "auc", "buy/auc")],
    "kuairand": [Log("kuairand", "kuairand", "data/kuairand/log", ("click", "long_view", "like", "profile_enter"), "auc")],
    "sine": [
        Log(
            f"sine {correlation}",
            "synthetic_sine",
            f"data/synthetic_sine_{correlation}/log",
            ("first", "second"),
            "rmse",
            rates=(0.002, 0.004),
        )
        for correlation in ("1.0", "0.0", "0.5")
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", choices=LOGS)
    parser.add_argument("--seeds", default="0,1,2", help="the learning rate is chosen with the first one (default: %(default)s)")
    parser.add_argument("--only", help="architectures, with commas between")
    parser.add_argument("--write-configs", action="store_true", help="write configs/architectures and end")
    arguments = parser.parse_args()
    if arguments.write_configs:
        CONFIGS.mkdir(exist_ok=True)
        for path, text in committed().items():
            path.write_text(text, encoding="utf-8")
        return
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for log in LOGS[arguments.set] if arguments.set else []:
        for seed in seeds:
            for row in arguments.only.split(",") if arguments.only else rows_of(log.config):
                compare(log, row, seeds[0], seed)
            write_tables(seeds)
    write_tables(seeds)


def compare(log: Log, row: str, first_seed: int, seed: int) -> None:
    """What is missing of one architecture on one log: the learning rates with the first seed, else the chosen one."""
    tried = [keep(log, row, rate, first_seed) for rate in (log.rates[1:2] if MODELS[row].is_slow else log.rates)]
    keep(log, row, chosen_rate(tried, log), seed)


def keep(log: Log, row: str, rate: float, seed: int) -> Result:
    """The kept result of a run, which is made if there is none."""
    for result in kept([log]):
        if (result.row, result.rate, result.seed) == (row, rate, seed):
            return result
    make_log(log, seed)
    result = run(log, row, rate, seed)
    with ROWS.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(result._asdict()) + "\n")
    print(f"{log.name} {row} rate {rate:g} seed {seed}: valid {log.mean(result.valid):.4f}, {result.seconds:.0f} s", flush=True)
    return result


def kept(logs: Iterable[Log]) -> list[Result]:
    """The rows of these logs whose configuration is what it was."""
    named = {log.name: log for log in logs}
    lines = ROWS.read_text(encoding="utf-8").splitlines() if ROWS.is_file() else []
    results = [result for line in lines if (result := Result(**json.loads(line))).log in named]
    return [result for result in results if result.digest == digest(named[result.log], result.row)]


@cache
def digest(log: Log, row: str) -> str:
    """Of what a run depends on, but for its learning rate and seed."""
    return hashlib.sha256(json.dumps(values_of(log, row), sort_keys=True).encode()).hexdigest()[:16]


@cache
def values_of(log: Log, row: str) -> dict[str, Any]:
    """The configuration of a row, from which learning rate and seed are missing."""
    values: dict[str, Any] = yaml.safe_load(config_of(log.config, row))
    values["log"]["source"] = log.source
    values["training"]["threads"] = 1
    if log.stopping is not None:
        values["training"]["early_stopping"]["metric"] = log.stopping
    return values | {"tracking": {"kind": "none"}, "evaluation": {"bootstrap": 0}, "run_dir": str(folder_of(log) / "run")}


def folder_of(log: Log) -> Path:
    """Where the runs on a log are, and what was prepared of it."""
    return FOLDER / log.name.replace(" ", "-")


def configuration(log: Log, row: str, rate: float, seed: int) -> Config:
    values = values_of(log, row)
    optimizers = values["training"].get("optimizers", {})
    optimizers = {**optimizers, "dense": {**optimizers.get("dense", {}), "lr": rate}}
    return parse({**values, "seed": seed, "training": {**values["training"], "optimizers": optimizers}})


def run(log: Log, row: str, rate: float, seed: int) -> Result:
    config = configuration(log, row, rate, seed)
    prepared = prepare(config)
    shutil.rmtree(config.run_path, ignore_errors=True)
    started, ticks = time.perf_counter(), list[float]()
    done = train(config, lambda stage, rows: ticks.append(time.process_time()) if stage == "train" else None)
    seconds = time.perf_counter() - started
    report, lines, ranker = json.loads(done.report_file.read_text(encoding="utf-8")), done.history(), load_run(done.path).model.ranker
    found = sum(parameter.numel() for parameter in ranker.parameters())
    if found != (expected := num_dense(config, SETS[log.config])):
        raise SystemExit(f"{log.name} {row}: the model has {found} dense parameters, {expected} by the inputs in SETS: correct them.")
    last = checkpoint.latest(done.checkpoints)
    assert last is not None
    best = checkpoint.load(last).state["best_step"]
    valid = {line["name"].removeprefix("valid/"): line["value"] for line in lines if line["step"] == best and line["name"].startswith("valid/")}
    num_steps = math.ceil(prepared.rows["train"] / config.training.batch_size)
    epoch_seconds = median(after - before for before, after in pairwise(ticks)) * num_steps
    shutil.rmtree(done.path)
    num_epochs = (len(ticks) - 1) // num_steps
    return Result(log.name, row, rate, seed, digest(log, row), valid, flat(report["tasks"]), num_epochs, epoch_seconds, seconds, found)


@lru_cache(maxsize=1)  # The rows of one seed share its log; those of another seed lie in the same place.
def make_log(log: Log, seed: int) -> None:
    """The logs that only this benchmark needs. What was prepared of the sines of another seed is removed, or it would fill the disk."""
    if log.config == "synthetic_sine":
        build(log.source, Sine(correlation=float(log.name.split()[1]), seed=seed), num_rows=SINE_ROWS)
        shutil.rmtree(folder_of(log), ignore_errors=True)
    if log.name == "demo" and not Path(log.source).is_dir():
        whole = ds.dataset("data/complete_journey/log").to_table()
        households = hash_array(whole["household_id"].combine_chunks())
        with replacing(log.source) as aside:
            pq.write_table(whole.filter(households % SAMPLE == 0), aside / "part-0.parquet")


def write_tables(seeds: list[int]) -> None:
    logs = [log for several in LOGS.values() for log in several]
    results = kept(logs)
    sections = [table(results, log, seeds, rows_of(log.config)) for log in logs]
    related, unrelated = LOGS["sine"][:2]
    sections.append(cost_of_unrelated(results, related, unrelated, seeds[0], rows_of(related.config)))
    about = ["# Architectures with as many dense parameters", "", f"{describe()}. {ABOUT}", ""]
    TABLES.write_text("\n".join([*about, *filter(None, sections)]), encoding="utf-8")


if __name__ == "__main__":
    main()
