"""The report of all tasks: which rows are judged, what is counted, and what a fault is called."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mtrec.errors import DataError
from mtrec.evaluation.evaluate import evaluate, flat, mean_auc
from mtrec.schema import Label, Task

TASKS = {
    "click": Task(label=Label(column="is_click")),
    "buy": Task(label=Label(column="is_buy"), given="click"),
    "spend": Task(label=Label(column="spend"), kind="regression"),
}


def data(num_rows: int = 400) -> tuple[dict[str, NDArray[Any]], NDArray[Any], NDArray[np.bool_], NDArray[Any]]:
    random = np.random.default_rng(0)
    predictions = {name: random.random(num_rows).astype(np.float32) for name in TASKS}
    labels = random.integers(0, 2, (num_rows, 3)).astype(np.float32)
    return predictions, labels, random.random((num_rows, 3)) < 0.6, random.random(num_rows).astype(np.float32)


def test_only_known_rows_count() -> None:
    predictions, labels, mask, weights = data()
    expected = evaluate(predictions, labels, mask, weights, TASKS)
    hidden = {name: np.where(mask[:, column], predictions[name], np.nan) for column, name in enumerate(TASKS)}
    assert evaluate(hidden, np.where(mask, labels, np.nan), mask, weights, TASKS) == expected
    assert list(expected) == list(TASKS)
    for column, name in enumerate(TASKS):
        assert expected[name]["rows"] == mask[:, column].sum()
    known = mask[:, 1]
    assert expected["buy"]["positives"] == labels[known, 1].sum()
    reference = roc_auc_score(labels[known, 1], predictions["buy"][known], sample_weight=weights[known])
    assert expected["buy"]["auc"] == {"value": pytest.approx(reference, abs=1e-12)}


def test_form_of_the_report() -> None:
    predictions, labels, mask, _ = data()
    report = evaluate(predictions, labels, mask, None, TASKS)
    assert list(report["click"]) == ["kind", "rows", "positives", "auc", "logloss"]
    assert list(report["click"]["auc"]) == ["value", "low", "high"]
    assert list(report["spend"]) == ["kind", "rows", "rmse"]
    assert {name: task["kind"] for name, task in report.items()} == {"click": "binary", "buy": "binary", "spend": "regression"}


def test_weights_of_one_give_the_interval_of_no_weights() -> None:
    predictions, labels, mask, _ = data()
    ones = np.ones(len(labels), np.float32)
    plain, weighted = evaluate(predictions, labels, mask, None, TASKS), evaluate(predictions, labels, mask, ones, TASKS)
    assert plain["buy"]["auc"] == weighted["buy"]["auc"]


def test_undefined_tasks_leave_the_mean_and_the_flat_form() -> None:
    predictions, labels, mask, _ = data()
    labels[:, 0] = 0
    mask[:, 2] = False
    report = evaluate(predictions, labels, mask, None, TASKS)
    assert report["click"]["auc"] == {"value": None, "reason": "one class: no label is 1"}
    assert report["spend"] == {"kind": "regression", "rows": 0, "rmse": {"value": None, "reason": "no rows"}}
    assert mean_auc(report) == report["buy"]["auc"]["value"]
    assert list(flat(report)) == ["click/logloss", "buy/auc", "buy/logloss", "mean_auc"]


def test_nothing_known_is_undefined_everywhere() -> None:
    predictions, labels, mask, _ = data()
    report = evaluate(predictions, labels, np.zeros_like(mask), None, TASKS)
    assert mean_auc(report) is None
    assert flat(report) == {}


def test_empty_split() -> None:
    empty = {name: np.zeros(0, np.float32) for name in TASKS}
    report = evaluate(empty, np.zeros((0, 3)), np.zeros((0, 3), bool), np.zeros(0), TASKS)
    assert {task["rows"] for task in report.values()} == {0}


def test_mean_of_aucs_is_plain() -> None:
    assert mean_auc({"a": {"auc": {"value": 0.5}}, "b": {"auc": {"value": 1.0}}, "c": {"rmse": {"value": 7.0}}}) == 0.75


def test_a_fault_names_its_task() -> None:
    predictions, labels, mask, _ = data()
    mask[0] = True
    predictions["buy"][0] = np.nan
    with pytest.raises(DataError, match=r"NaN \(task `buy`\)"):
        evaluate(predictions, labels, mask, None, TASKS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, y, m, w: ({"click": p["click"]}, y, m, w), "no predictions .task `buy`."),
        (lambda p, y, m, w: (p | {"buy": p["buy"][:5]}, y, m, w), r"predictions of task `buy`.. Found: \(5,\). Expected: \(400,\)"),
        (lambda p, y, m, w: (p, y[:, :2], m, w), r"labels.. Found: \(400, 2\). Expected: \(400, 3\)"),
        (lambda p, y, m, w: (p, y, m[:9], w), "mask"),
        (lambda p, y, m, w: (p, y, m.astype(int), w), "mask is not of bools. Found: int64"),
        (lambda p, y, m, w: (p, y, m, w[:9]), "weights"),
    ],
)
def test_arrays_that_do_not_fit_are_named(change: Any, message: str) -> None:
    predictions, labels, mask, weights = change(*data())
    with pytest.raises(DataError, match=message):
        evaluate(predictions, labels, mask, weights, TASKS)
