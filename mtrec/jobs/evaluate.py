"""`mtrec evaluate`: exact metrics of a split, or of another log, into report.json and report.html."""

from collections.abc import Callable
from typing import Any

from mtrec import ranks
from mtrec.data.log import LogFiles
from mtrec.data.split import SPLITS
from mtrec.errors import ConfigError
from mtrec.evaluation.baseline import lightgbm_baseline
from mtrec.evaluation.baseline_data import baseline_data
from mtrec.evaluation.judge import judge
from mtrec.evaluation.report import render_html
from mtrec.jobs.load import Loaded
from mtrec.store import atomic_file, write_json
from mtrec.training.scoring import SCORING_ROWS, score, score_log

__all__ = ["evaluate_run"]


def evaluate_run(
    loaded: Loaded, split: str = "test", log: list[str] | None = None, baseline: bool = False, progress: Callable[[str], None] = lambda task: None
) -> dict[str, Any]:
    """Judge a run; the report is written into its directory and returned.

    Args:
        log: files of another log, all of whose rows are judged, in place of a split.
        baseline: fit LightGBM on the prepared train rows, a model a task, and judge it beside the run.

    Raises:
        ConfigError: if there is no such split, or a baseline is asked of another log.
    """
    run, config, prepared, _, model = loaded
    if split not in SPLITS:
        raise ConfigError("There is no such split", found=split, expected=f"one of {', '.join(SPLITS)}")
    if baseline and log:
        raise ConfigError("The baseline is judged on a split of the prepared log only", do="Leave out --log or --baseline.")
    if log:
        needed = [*loaded.features.input_columns, *(task.label.column for task in config.tasks.values())]
        files = LogFiles(log, [*needed, *([config.log.roles.weight] if config.log.roles.weight else [])], config.log.join)
        scores, digest = score_log(model, loaded.features, files, config.tasks, config.log.roles.weight), files.digest()
    else:
        scores, digest = score(model, prepared.reader(split, SCORING_ROWS, **ranks.share())), prepared.digest
    weights = "ema" if config.training.ema is not None else "raw"
    report: dict[str, Any] = {"format": 1, "split": ", ".join(log) if log else split, "dataset_digest": digest, "weights": weights}
    report["tasks"] = judge(scores, config)
    if baseline:
        train, valid, judged_on = (baseline_data(prepared, name) for name in ("train", "valid", split))
        threads = config.training.threads or 2
        report["baselines"] = {"lightgbm": lightgbm_baseline(train, valid, judged_on, config.tasks, config.seed, threads, progress)}
    known = dict(zip(config.tasks, scores.mask.T, strict=True))
    judged = {name: (scores.predictions[rows, i], scores.labels[rows, i]) for i, (name, rows) in enumerate(known.items())}
    if not ranks.is_first():
        return report
    with atomic_file(run.path / "report.html") as aside:
        aside.write_text(render_html({"name": config.name, **report}, run.history(), judged), encoding="utf-8")
    write_json(run.path / "report.json", report)  # Last: a run that has it is done.
    return report
