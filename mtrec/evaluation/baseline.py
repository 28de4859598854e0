"""A gradient-boosted baseline: one LightGBM model a task, on the arrays that the network trained on.

A network that does not beat it on a task has learnt nothing there that trees did not find without embeddings, sequences or the other tasks
(Ke et al. 2017, NeurIPS, LightGBM).
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrec.errors import ConfigError, DataError
from mtrec.evaluation.evaluate import judged
from mtrec.evaluation.metrics.gauc import gauc
from mtrec.schema import Task

__all__ = ["BaselineData", "lightgbm_baseline"]

NUM_ROUNDS = 500
PATIENCE = 40
MANY_ROWS = 20_000
NUM_ROUNDS_UNWATCHED = 100  # where the valid split cannot say when to stop


class BaselineData(NamedTuple):
    """One split, prepared.

    Attributes:
        features: [n, K] float32 or float64; NaN where null.
        names: the K names of the features, the same in all splits.
        labels: [n, T], a column a task.
        mask: [n, T] bool, True where the task is judged.
        weight: [n] weight of each row.
    """

    features: NDArray[Any]
    names: list[str]
    labels: NDArray[Any]
    mask: NDArray[np.bool_]
    weight: NDArray[Any]


def lightgbm_baseline(
    train: BaselineData,
    valid: BaselineData,
    test: BaselineData,
    tasks: Mapping[str, Task],
    seed: int,
    threads: int,
    progress: Callable[[str], None] | None = None,
    groups: NDArray[np.int64] | None = None,
) -> dict[str, Any]:
    """Fits on train, stops on valid (AUC or RMSE), judges on test: `{"tasks": as evaluate gives them, "rounds": {task: n}, "seconds": ..}`.

    A task that train has no rows of, or one class only, is reported as undefined with that reason. The same seed gives the same trees.

    Args:
        train, valid, test: the splits.
        tasks: what is predicted, in the order of the label columns.
        seed: of the trees.
        threads: how many LightGBM may use.
        progress: called with the name of each task once it is done.
        groups: [n] of the rows of `test`; with it binary tasks have `gauc_impressions` too.

    Raises:
        ConfigError: LightGBM is not installed.
        DataError: the splits have different features.
    """
    try:
        import lightgbm
    except ImportError as error:
        raise ConfigError("The baseline needs LightGBM, which is not installed", do='Run `pip install "mtrec-moe[gbdt]"`.') from error
    for split in (valid, test):
        if split.names != train.names:
            raise DataError("The splits of the baseline have different features", found=split.names, expected=train.names)
    started = time.perf_counter()
    report, rounds = {}, {}
    for column, (name, task) in enumerate(tasks.items()):
        parts = [_known(split, column) for split in (train, valid, test)]
        if reason := _unfit(task, parts[0].labels):
            report[name] = _undefined(task, parts[2], f"train has {reason}")
        else:
            model = _fit(lightgbm, task, parts[0], parts[1], seed, threads)
            last = parts[2]
            predicted = np.asarray(model.predict(last.features, num_threads=threads)) if len(last.labels) else np.zeros(0)
            report[name] = judged(task.kind, predicted, last.labels, last.weight, where=f"baseline of task `{name}`")
            if groups is not None and task.kind == "binary":
                within = groups[test.mask[:, column]]
                report[name]["gauc_impressions"] = gauc(predicted, last.labels, within, last.weight, mean="impressions", where=name).to_json()
            rounds[name] = int(model.best_iteration) or int(model.current_iteration())
        if progress is not None:
            progress(name)
    return {"tasks": report, "rounds": rounds, "seconds": time.perf_counter() - started}


class _Known(NamedTuple):
    features: NDArray[Any]
    labels: NDArray[Any]
    weight: NDArray[Any]


def _known(split: BaselineData, column: int) -> _Known:
    known = split.mask[:, column]
    return _Known(split.features[known], split.labels[known, column], split.weight[known])


def _unfit(task: Task, labels: NDArray[Any]) -> str | None:
    if not len(labels):
        return "no rows"
    return "one class" if task.kind == "binary" and len(np.unique(labels)) < 2 else None


def _undefined(task: Task, test: _Known, reason: str) -> dict[str, Any]:
    why = {"value": None, "reason": reason}
    if task.kind == "regression":
        return {"kind": task.kind, "rows": len(test.labels), "rmse": why}
    return {"kind": task.kind, "rows": len(test.labels), "positives": int(np.count_nonzero(test.labels)), "auc": why, "logloss": dict(why)}


def _fit(lightgbm: Any, task: Task, train: _Known, valid: _Known, seed: int, threads: int) -> Any:
    binary = task.kind == "binary"
    options = {
        "objective": "binary" if binary else "regression",
        "metric": "auc" if binary else "rmse",
        # A baseline is to be hard to beat: sampled columns and rows, and leaves that hold enough rows, carry over better to later days.
        "num_leaves": 31,
        "min_data_in_leaf": 100 if len(train.labels) >= MANY_ROWS else 20,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 5.0,
        "learning_rate": 0.05,
        "seed": seed,
        "num_threads": threads,
        "deterministic": True,
        "force_row_wise": True,  # else LightGBM times both layouts and takes the faster: not the same in every run
        "verbosity": -1,
    }
    # Names stay out of LightGBM, which refuses some characters in them.
    rows = lightgbm.Dataset(train.features, train.labels, weight=train.weight)
    if _unfit(task, valid.labels):
        return lightgbm.train(options, rows, NUM_ROUNDS_UNWATCHED)
    watched = lightgbm.Dataset(valid.features, valid.labels, weight=valid.weight, reference=rows)
    stop = lightgbm.early_stopping(PATIENCE, verbose=False)
    return lightgbm.train(options, rows, NUM_ROUNDS, valid_sets=[watched], callbacks=[stop])
