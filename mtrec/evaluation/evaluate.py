"""All metrics of all tasks on one split, as the `tasks` part of report.json has them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrec.errors import DataError
from mtrec.evaluation.metrics.auc import auc
from mtrec.evaluation.metrics.log_loss import log_loss
from mtrec.evaluation.metrics.rmse import rmse
from mtrec.schema import Task

__all__ = ["evaluate", "flat", "judged", "mean_auc"]


def evaluate(
    predictions: Mapping[str, NDArray[Any]],
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    weights: NDArray[Any] | None,
    tasks: Mapping[str, Task],
) -> dict[str, dict[str, Any]]:
    """The metrics of each task over the rows whose label is known, in the order of `tasks`.

    Binary tasks: rows, positives, auc, logloss. Regression tasks: rows, rmse. Rows and positives are counts, not weighted.

    Args:
        predictions: by task, [N]: a probability for a binary task, a value for a regression. Rows that are masked may hold anything.
        labels: [N, T], a column a task in the order of `tasks`.
        mask: [N, T] True where the task is judged: its label is known, and so is, as 1, the label of the task it is given.
        weights: [N] weight of each row, or None.
        tasks: what is predicted.

    Raises:
        DataError: shapes that do not fit each other, a task without predictions, a value that a metric refuses; the task is named.
    """
    _check_shapes(predictions, labels, mask, weights, tasks)
    report = {}
    for column, (name, task) in enumerate(tasks.items()):
        known = mask[:, column]
        weight = None if weights is None else weights[known]
        report[name] = judged(task.kind, predictions[name][known], labels[known, column], weight, where=f"task `{name}`")
    return report


def judged(kind: str, predictions: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any] | None, where: str) -> dict[str, Any]:
    """The report of one task of a kind, over its known rows: predictions [N], labels [N], weights [N] or None."""
    if kind == "regression":
        return {"kind": kind, "rows": len(labels), "rmse": rmse(predictions, labels, weights, where=where).to_json()}
    return {
        "kind": kind,
        "rows": len(labels),
        "positives": int(np.count_nonzero(labels)),
        "auc": auc(predictions, labels, weights, where=where).to_json(),
        "logloss": log_loss(predictions, labels, weights, where=where).to_json(),
    }


def mean_auc(tasks_report: Mapping[str, Mapping[str, Any]]) -> float | None:
    """The plain mean of the AUC over the binary tasks whose AUC is defined; None where none is.

    >>> mean_auc({"click": {"auc": {"value": 0.8}}, "buy": {"auc": {"value": None, "reason": "no rows"}}})
    0.8
    """
    values = [report["auc"]["value"] for report in tasks_report.values() if "auc" in report]
    defined = [value for value in values if value is not None]
    return float(np.mean(defined)) if defined else None


def flat(tasks_report: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The defined values by `task/metric`, and `mean_auc`, as a tracker takes them.

    >>> flat({"buy": {"kind": "binary", "rows": 9, "auc": {"value": 0.75}, "logloss": {"value": None, "reason": "no rows"}}})
    {'buy/auc': 0.75, 'mean_auc': 0.75}
    """
    values = {}
    for task, report in tasks_report.items():
        for metric, found in report.items():
            if metric != "slices" and isinstance(found, dict) and found.get("value") is not None:
                values[f"{task}/{metric}"] = float(found["value"])
    mean = mean_auc(tasks_report)
    return values if mean is None else values | {"mean_auc": mean}


def _check_shapes(
    predictions: Mapping[str, NDArray[Any]],
    labels: NDArray[Any],
    mask: NDArray[np.bool_],
    weights: NDArray[Any] | None,
    tasks: Mapping[str, Task],
) -> None:
    shape = (labels.shape[0], len(tasks))
    wanted = {"labels": (labels, shape), "mask": (mask, shape)} | ({} if weights is None else {"weights": (weights, shape[:1])})
    for name in tasks:
        if name not in predictions:
            raise DataError("A task has no predictions", where=f"task `{name}`", found=sorted(predictions))
        wanted[f"predictions of task `{name}`"] = (predictions[name], shape[:1])
    for what, (array, expected) in wanted.items():
        if array.shape != expected:
            raise DataError("Arrays do not fit each other", where=what, found=array.shape, expected=expected)
    if mask.dtype != np.bool_:
        raise DataError("The mask is not of bools", found=mask.dtype, expected="bool")
