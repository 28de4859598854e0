"""Every weighting, aggregator and sharpness-aware steps against equal weights: what is gained, and at what cost?

    python -m benchmarks.objectives [--log "planted conflict"|"planted agreement"|demo|kuairand] [--only gradnorm,aligned]

planted: the logs of benchmarks.health, in which one task outweighs another twenty times that wants something unrelated, or the same. demo: a fifth
of the households of Complete Journey, and kuairand: the days of configs/kuairand.yaml, both with the model and learning rates of these
configurations, which were chosen with equal weights on valid. Options of methods are their defaults, so that nothing is chosen on test; but for the
window of dwa, whose default is longer than a planted run, and the epochs of rmtl. A run stops on valid and is judged once on test. One row a run is
kept as it ends, so that a stopped benchmark goes on. One thread.
"""

import argparse
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import yaml

from benchmarks.architectures import LOGS as ARCHITECTURE_LOGS
from benchmarks.architectures import make_log
from benchmarks.health import PLANTED, planted
from benchmarks.machine import describe
from mtrec.config import parse
from mtrec.evaluation.evaluate import flat
from mtrec.evaluation.verdict import mean_and_interval
from mtrec.jobs.train import train

ROWS = Path("benchmarks/results/objectives.jsonl")
TABLES = Path("benchmarks/results/objectives.md")
FOLDER = Path("runs/benchmark-objectives")
BASE = "equal"
Method = dict[str, Any]

WEIGHTINGS = ("random", "uncertainty", "imtl_l", "gradnorm", "famo", "coba")
AGGREGATORS = ("pcgrad", "gradvac", "mgda", "cagrad", "nash", "imtl_g", "aligned", "graddrop", "upgrad", "fairgrad", "conflict_free")
METHODS: dict[str, Method] = {
    BASE: {},
    **{name: {"objective": {"weighting": {"kind": name}}} for name in WEIGHTINGS},
    "dwa": {"objective": {"weighting": {"kind": "dwa", "window": 20}}},
    **{name: {"objective": {"aggregator": {"kind": name}}} for name in AGGREGATORS},
    "sam": {"training": {"sharpness": {"kind": "sam"}}},
    "rmtl": {},  # See values_of.
}
CONTROLS = ("const_mean", "shuffle")  # Trained beside rmtl, from the same pretrained model on the same batches.
ABOUT = """One thread. Differences are of the test metric from equal weights with the same seed; intervals of 95 % by Student's t over seeds. `rmtl`
trains longer than the others: up to 4 epochs (KuaiRand: 1) with equal weights, then critics, then as many epochs as the others; the figures to
hold it against are its controls, which have the same pretrained model, batches and mean weight, but not what the critics say of a row."""


class Log(NamedTuple):
    """A log, the tasks of its mean, the column by which rows follow each other for rmtl, how long rmtl pretrains, and the seeds.

    On KuaiRand all would end with the model that was pretrained, if it were for 4 epochs: no later epoch is better on valid.
    """

    name: str
    tasks: tuple[str, ...]
    session: str
    pretrain_epochs: int
    seeds: range


LOGS = [
    *(Log(f"planted {name}", ("click", "like"), "session_id", 4, range(5)) for name in PLANTED),
    Log("demo", ARCHITECTURE_LOGS["demo"][0].tasks, "household_id", 4, range(3)),
    Log("kuairand", ("click", "long_view", "like", "profile_enter"), "user_id", 1, range(3)),
]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", choices=[log.name for log in LOGS])
    parser.add_argument("--only", help="methods, with commas between")
    arguments = parser.parse_args()
    wanted = arguments.only.split(",") if arguments.only else list(METHODS)
    for log in LOGS:
        for seed in log.seeds if arguments.log in (None, log.name) else ():
            for method in wanted:
                keep(log, method, seed)
    TABLES.write_text(text(), encoding="utf-8")
    print(TABLES.read_text(encoding="utf-8"))


def keep(log: Log, method: str, seed: int) -> None:
    """Make the rows of a run, unless they are there."""
    values = values_of(log, method, seed)
    if any((row["log"], row["method"], row["seed"], row["digest"]) == (log.name, method, seed, digest(values)) for row in kept()):
        return
    rows = list(run(log, method, seed, values))
    with ROWS.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    print(log.name, method, seed, f"{mean_auc(rows[0]['test'], log):.4f}, {rows[0]['seconds']:.0f} s", flush=True)


def kept() -> list[dict[str, Any]]:
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.is_file() else []


def digest(values: Method) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


@cache
def values_of(log: Log, method: str, seed: int) -> Method:
    """The configuration of a run, whose log is there."""
    if log.name.startswith("planted"):
        values = planted(FOLDER / f"{log.name.replace(' ', '-')}-{seed}", PLANTED[log.name.split()[1]], seed)
    else:
        of_set = ARCHITECTURE_LOGS[log.name][0]
        make_log(of_set)
        values = yaml.safe_load(Path(f"configs/{of_set.config}.yaml").read_text(encoding="utf-8"))
        values["log"]["source"] = of_set.source
        values |= {"seed": seed, "tracking": {"kind": "none"}, "evaluation": {"bootstrap": 0}, "run_dir": str(FOLDER / log.name / "run")}
        values["training"]["threads"] = 1
    options = METHODS[method]
    if method == "rmtl":
        values["log"]["roles"]["session"] = log.session
        options = {"objective": {"weighting": {"kind": "rmtl", "pretrain_epochs": log.pretrain_epochs, "critic_epochs": 4}}}
    return {**values, **options, "training": {**values["training"], **options.get("training", {})}}


def run(log: Log, method: str, seed: int, values: Method) -> Iterator[dict[str, Any]]:
    """The row of a run, and those of its controls."""
    config = parse(values)
    shutil.rmtree(config.run_path, ignore_errors=True)
    started, ticks = time.perf_counter(), list[float]()
    done = train(config, lambda stage, rows: ticks.append(time.process_time()) if stage == "train" else None)
    seconds = time.perf_counter() - started
    step_ms = 1000 * median(after - before for before, after in pairwise(ticks))
    report = json.loads(done.report_file.read_text(encoding="utf-8"))
    common = {"log": log.name, "seed": seed, "digest": digest(values), "seconds": seconds}
    yield {**common, "method": method, "test": flat(report["tasks"]), "step_ms": step_ms}
    for name, control in report.get("controls", {}).items():
        yield {**common, "method": f"rmtl, {name}", "test": flat(control["tasks"])}
    shutil.rmtree(done.path)


def mean_auc(test: dict[str, float], log: Log) -> float:
    return sum(test[f"{task}/auc"] for task in log.tasks) / len(log.tasks)


def text() -> str:
    """All tables; a method has a line where all seeds are there."""
    return "\n".join(["# Objectives against equal weights", "", f"{describe()}. {ABOUT}", "", *(table(log) for log in LOGS)])


def table(log: Log) -> str:
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in kept():  # Rows of a configuration that is no more are left out.
        if row["log"] == log.name and row["digest"] == digest(values_of(log, row["method"].split(",")[0], row["seed"])):
            found.setdefault(row["method"], {})[row["seed"]] = row
    complete = {name: [rows[seed] for seed in log.seeds] for name, rows in found.items() if rows.keys() >= set(log.seeds)}
    if BASE not in complete:
        return ""
    order = [name for method in METHODS for name in (method, *(f"{method}, {control}" for control in CONTROLS)) if name in complete]
    heads = ["method", *(f"{task}, AUC" for task in log.tasks), "mean", "against equal", "better in", "CPU ms a step"]
    lines = [f"## {log.name}, {len(log.seeds)} seeds", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    base = [mean_auc(row["test"], log) for row in complete[BASE]]
    for name in order:
        rows = complete[name]
        means = [mean_auc(row["test"], log) for row in rows]
        tasks = [f"{sum(row['test'][f'{task}/auc'] for row in rows) / len(rows):.4f}" for task in log.tasks]
        steps = f"{median(row['step_ms'] for row in rows):.0f}" if "step_ms" in rows[0] else ""
        against = ["", ""] if name == BASE else difference(means, base)
        lines.append(f"| {' | '.join([name, *tasks, f'{sum(means) / len(means):.4f}', *against, steps])} |")
    if "rmtl" in complete:
        mine = [mean_auc(row["test"], log) for row in complete["rmtl"]]
        others = {control: [mean_auc(row["test"], log) for row in complete[f"rmtl, {control}"]] for control in CONTROLS}
        beside = "; ".join(f"against {control} {difference(mine, other)[0]}" for control, other in others.items())
        lines += ["", f"rmtl {beside}."]
    return "\n".join([*lines, ""])


def difference(values: list[float], base: list[float]) -> list[str]:
    """Mean and interval of paired differences, and in how many seeds they are above 0."""
    gains = [one - other for one, other in zip(values, base, strict=True)]
    found = mean_and_interval(gains)
    interval = f"{found[0]:+.4f} ({found[1]:+.4f} to {found[2]:+.4f})" if found is not None else "the same in all"
    return [interval, f"{sum(gain > 0 for gain in gains)} of {len(gains)}"]


if __name__ == "__main__":
    main()
