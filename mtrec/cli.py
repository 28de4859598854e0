"""The command line. Verbs are imported when they run, so that `mtrec --help` is quick.

Exit codes: 0, 1 unexpected, 2 configuration, 3 data, 4 bundle or artifact, 5 training, 6 a gate said no, 143 after SIGTERM with a checkpoint.
"""

import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from mtrec.errors import ConfigError, MtrecError

__all__ = ["main"]

app = typer.Typer(
    help="Multi-task recommenders: from a raw log to a served score. `--debug` anywhere shows the traceback of an error.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
ConfigFile = Annotated[Path, typer.Argument(help="A YAML file, see configs/.")]
Overrides = Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Keys to set, such as training.epochs=5.")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="The directory of a run, such as runs/smoke.")]


@app.command()
def init(
    log: Annotated[str, typer.Argument(help="A file, directory or glob of Parquet or CSV.")],
    time: Annotated[str | None, typer.Option(help="The time column.")] = None,
    user: Annotated[str | None, typer.Option(help="The user column.")] = None,
    item: Annotated[str | None, typer.Option(help="The item column.")] = None,
    labels: Annotated[str | None, typer.Option(help="The label columns, with commas between.")] = None,
    output: Annotated[Path | None, typer.Option(help="The file to write; NAME.yaml if not given, named like the log.")] = None,
) -> None:
    """Write a commented configuration from a log's own columns."""
    from mtrec.jobs.init import init as job

    path = job(log, time, user, item, labels.split(",") if labels else None, output)
    typer.echo(f"Wrote {path}. Read it, then: mtrec train {path}")


@app.command()
def check(config: ConfigFile, overrides: Overrides = None) -> None:
    """Look at a log through its configuration: rates, overlap, drift, leaks; ends with 3 on a leak."""
    from mtrec.config import load
    from mtrec.console import Stages, console
    from mtrec.inspection.tables import tables
    from mtrec.jobs.check import check as job

    with Stages() as stages:
        report = job(load(config, overrides), stages)
    for table in tables(report):
        console.print(table)
    report.refuse_leaks()


@app.command()
def prepare(config: ConfigFile, overrides: Overrides = None) -> None:
    """Check the log, split it, fit the features on train, encode all rows."""
    from mtrec.config import load
    from mtrec.console import Stages
    from mtrec.jobs.prepare import prepare as job

    with Stages() as stages:
        prepared = job(load(config, overrides), stages)
    typer.echo(f"{prepared.path}: {', '.join(f'{name} {prepared.rows[name]:,}' for name in ('train', 'valid', 'test'))} rows")


@app.command()
def train(
    config: ConfigFile,
    overrides: Overrides = None,
    start_from: Annotated[Path | None, typer.Option("--from", metavar="CHECKPOINT", help="Go back to this checkpoint of the run.")] = None,
) -> None:
    """Train to the end, or go on where an earlier call stopped; prepares first if needed."""
    from mtrec.config import load
    from mtrec.console import Stages
    from mtrec.jobs.train import train as job

    with Stages() as stages:
        run = job(load(config, overrides), stages, start_from)
    if os.environ.get("RANK", "0") == "0":
        _show(run.path)


@app.command()
def backtest(
    config: ConfigFile,
    days: Annotated[int, typer.Option("--days", help="How many of the log's last days are judged.")],
    overrides: Overrides = None,
    warm: Annotated[bool, typer.Option("--warm", help="Train anew for the first day only; go on from the day before for each later one.")] = False,
) -> None:
    """Judge the log's last days, each by a model that was trained on the days before it."""
    from mtrec.config import load
    from mtrec.console import Stages, console
    from mtrec.evaluation.backtest_report import backtest_table, file_name
    from mtrec.jobs.backtest import backtest as job

    loaded = load(config, overrides)
    with Stages() as stages:
        report = job(loaded, days, stages, warm)
    console.print(backtest_table(report))
    typer.echo(f"report: {loaded.run_path / file_name(report)}.html")


@app.command()
def evaluate(
    run: RunPath,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    log: Annotated[list[str] | None, typer.Option(help="Judge the rows of these files in place of a split.")] = None,
    baseline: Annotated[str | None, typer.Option(help="lightgbm: trees on the same rows, a model a task.")] = None,
    search_score: Annotated[bool, typer.Option("--search-score", help="Look for weights of the fused score, on valid.")] = False,
    single_task: Annotated[bool, typer.Option("--single-task", help="Train each task alone too: which is helped, which is hurt?")] = False,
    seeds: Annotated[int, typer.Option(help="How often --single-task trains each model, 3 at least.")] = 3,
) -> None:
    """Judge a run: exact metrics of each task."""
    from mtrec.jobs.evaluate import evaluate_run
    from mtrec.jobs.load import load_run
    from mtrec.jobs.tell import tell

    if baseline not in (None, "lightgbm"):
        raise ConfigError("There is no such baseline", found=baseline, expected="lightgbm")
    loaded = load_run(run)
    report = evaluate_run(loaded, split, log, baseline is not None, lambda what: typer.echo(f"{what} done"), search_score, seeds * single_task)
    _show(run)
    if search_score:
        search = report["score_search"]
        typer.echo(f"score: {search.get('reason') or search['chosen']['weights']}")
    tell(loaded, report)  # A slow store is waited for when all is shown.


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="RUN_OR_ARTIFACT")],
    source: Annotated[str, typer.Argument(metavar="INPUT", help="Raw rows: a file, directory or glob.")],
    out: Annotated[Path, typer.Argument(metavar="OUTPUT.parquet")],
) -> None:
    """Score raw rows: keys and one column an output."""
    from mtrec.console import Stages
    from mtrec.jobs.predict import predict as job

    with Stages() as stages:
        num_rows = job(model, source, out, lambda rows: stages("predict", rows))
    typer.echo(f"{out}: {num_rows:,} rows")


@app.command()
def export(
    run: RunPath,
    kind: Annotated[str, typer.Option("--format", help="torchscript.")] = "torchscript",
    out: Annotated[Path | None, typer.Option(help="A new directory; RUN/export if not given.")] = None,
) -> None:
    """Write the artifact for serving, once its scores are proven to be those of training."""
    from mtrec.jobs.export import export_run
    from mtrec.jobs.load import load_run

    report = export_run(load_run(run), out, kind)
    worst = max(report.differences.values())
    typer.echo(f"{report.path}: {report.num_rows} held-out rows and their hard variants agree within {worst:.1e}")
    typer.echo(f"manifest sha256 {report.manifest_sha256}")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="A run, or several with commas between: the candidate.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Runs of the same seeds, or a Parquet file of scores: what it is compared with.")],
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    gate: Annotated[bool, typer.Option("--gate", help="End with 6 if A is worse on a task beyond its interval, or badly calibrated.")] = False,
    calibration: Annotated[tuple[float, float], typer.Option(help="Where --gate wants predicted over actual of A.")] = (0.9, 1.1),
    output: Annotated[Path | None, typer.Option(help="A JSON file for the figures.")] = None,
) -> None:
    """Compare two models on the same rows: the difference in each metric of each task, A less B."""
    from mtrec.console import console
    from mtrec.evaluation.compare_table import compare_table
    from mtrec.evaluation.gate import refuse_if_worse
    from mtrec.jobs.compare import compare as job
    from mtrec.store import write_json

    report = job(first.split(","), second.split(","), split)
    console.print(compare_table(report))
    if output is not None:
        write_json(output, report)
    if gate:
        refuse_if_worse(report["tasks"], calibration)


@app.command("check-artifact")
def check_artifact(path: Annotated[Path, typer.Argument(metavar="DIR")]) -> None:
    """Run the public suite of checks on an artifact."""
    from mtrec.testing.artifact import check_artifact as job

    for name, _ in job(path):
        typer.echo(f"ok  {name}")


@app.command("list")
def list_parts(
    folder: Annotated[
        str, typer.Argument(metavar="PARTS", help="aggregators, architectures, encoders, gates, losses, poolings, transforms, weightings.")
    ],
) -> None:
    """List the parts of one kind with their ideas and options."""
    from mtrec.console import console
    from mtrec.jobs.listing import list_parts as job

    console.print(job(folder))


@app.command()
def doctor() -> None:
    """Look at the installation: versions, whether torchrec loads, disk, rights."""
    from mtrec.jobs.doctor import doctor as job

    raise typer.Exit(job())


def _show(run: Path) -> None:
    import json

    from mtrec.console import console
    from mtrec.evaluation.table import metrics_table

    console.print(metrics_table(json.loads((run / "report.json").read_text(encoding="utf-8"))))
    typer.echo(f"report: {run / 'report.html'}")


def main() -> None:
    """Run the command line and leave with its exit code; errors go to stderr as one paragraph."""
    debug = "--debug" in sys.argv
    sys.argv = [word for word in sys.argv if word != "--debug"]
    # What the package says beside its results: warnings, and what it passes over.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("mtrec").setLevel(logging.INFO)
    code = _run(debug)
    if not _alone():
        from mtrec.ranks import leave

        leave(code)
    sys.exit(code)


def _run(debug: bool) -> int:
    try:
        if not _alone() and sys.argv[1:2] != ["train"]:
            raise ConfigError("Only `train` runs on several processes", found=" ".join(sys.argv[1:2]), do="Call it without torchrun.")
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except Exception as error:  # noqa: BLE001  Whatever it is, it ends as one paragraph and an exit code.
        if debug:
            traceback.print_exc()
        if isinstance(error, MtrecError):
            typer.echo(f"error: {error}", err=True)
            return error.exit_code
        text = " ".join(str(error).split())
        typer.echo(f"error: unexpected {type(error).__name__}: {text} Run again with --debug to see where, and tell us.", err=True)
        return 1
    return 0


def _alone() -> bool:
    """Whether this is the only process of the run; torchrun says so."""
    return os.environ.get("WORLD_SIZE", "1") in ("", "1")
