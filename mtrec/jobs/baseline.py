"""LightGBM on the prepared rows of a run, a model a task, judged beside it."""

from collections.abc import Callable
from typing import Any

from mtrec.evaluation.baseline import lightgbm_baseline
from mtrec.evaluation.baseline_data import baseline_data
from mtrec.evaluation.judged import groups_of_rows
from mtrec.jobs.load import Loaded

__all__ = ["baseline_of"]


def baseline_of(loaded: Loaded, split: str, progress: Callable[[str], None]) -> dict[str, Any]:
    """The part `baselines` of a report of a split.

    Args:
        progress: called with each model that is done.
    """
    config = loaded.config
    train, valid, judged_on = (baseline_data(loaded.prepared, name) for name in ("train", "valid", split))
    columns, names = loaded.prepared.columns(split), config.evaluation.group
    groups = groups_of_rows(columns, names, config) if columns is not None and names else None
    threads = config.training.threads or 2
    found = lightgbm_baseline(train, valid, judged_on, config.tasks, config.seed, threads, lambda task: progress(f"lightgbm: {task}"), groups)
    return {"baselines": {"lightgbm": found}}
