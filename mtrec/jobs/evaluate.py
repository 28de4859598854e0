"""`mtrec evaluate`: exact metrics of a split, or of another log, into report.json and report.html."""

from collections.abc import Callable
from typing import Any

import numpy as np

from mtrec.data.labels import read_labels, read_weights
from mtrec.data.log import LogFiles
from mtrec.evaluation.baseline import lightgbm_baseline
from mtrec.evaluation.baseline_data import baseline_data
from mtrec.evaluation.evaluate import evaluate
from mtrec.evaluation.report import render_html
from mtrec.jobs.load import Loaded
from mtrec.store import atomic_file, write_json
from mtrec.training.scoring import Scores, score, score_table

__all__ = ["evaluate_run"]

SCORING_ROWS = 16_384


def evaluate_run(
    loaded: Loaded, split: str = "test", log: list[str] | None = None, baseline: bool = False, progress: Callable[[str], None] = lambda task: None
) -> dict[str, Any]:
    """Judge a run; the report is written into its directory and returned.

    Args:
        log: files of another log, all of whose rows are judged, in place of a split.
        baseline: fit LightGBM on the prepared train rows, a model a task, and judge it beside the run.
    """
    run, config, prepared, _, model = loaded
    scores = score(model, prepared.reader(split, SCORING_ROWS)) if log is None else _score_log(loaded, log)
    predictions = dict(zip(config.tasks, scores.predictions.T, strict=True))
    report: dict[str, Any] = {
        "format": 1,
        "name": config.name,
        "split": split if log is None else ", ".join(log),
        "dataset_digest": prepared.digest,
        "weights": "ema" if config.training.ema is not None else "raw",
        "tasks": evaluate(predictions, scores.labels, scores.mask, scores.weight if config.log.roles.weight else None, config.tasks),
    }
    if baseline and log is None:
        data = [baseline_data(prepared, name) for name in ("train", "valid", split)]
        report["baselines"] = {"lightgbm": lightgbm_baseline(*data, config.tasks, config.seed, config.training.threads or 2, progress)}
    judged = {name: (predictions[name][scores.mask[:, i]], scores.labels[scores.mask[:, i], i]) for i, name in enumerate(config.tasks)}
    write_json(run.path / "report.json", report)
    with atomic_file(run.path / "report.html") as aside:
        aside.write_text(render_html(report, run.history(), judged), encoding="utf-8")
    return report


def _score_log(loaded: Loaded, source: list[str]) -> Scores:
    config, parts = loaded.config, []
    roles = config.log.roles
    needed = [*loaded.features.input_columns, *(task.label.column for task in config.tasks.values()), *([roles.weight] if roles.weight else [])]
    for table in LogFiles(source, needed, config.log.join).slices(SCORING_ROWS):
        labels = read_labels(table, config.tasks)
        predictions = loaded.model.outputs.conditional(score_table(loaded.model, loaded.features, table)).numpy()
        parts.append((predictions, labels.values, labels.mask, read_weights(table, roles.weight), np.zeros(table.num_rows, dtype=np.int64)))
    return Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))
