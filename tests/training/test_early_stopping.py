import json
from typing import Any

import pytest

from mtrec.sections import EarlyStopping
from mtrec.training.early_stopping import BestEpoch

BEST = {"mean_auc": 0.7, "buy/auc": 0.7, "buy/logloss": 0.5, "spend/rmse": 3.0}


def verdicts(metric: str, *epochs: dict[str, float], patience: int = 9) -> list[bool]:
    best = BestEpoch(EarlyStopping(metric=metric, patience=patience))
    return [best.is_better(metrics) for metrics in epochs]


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [("mean_auc", 0.71, 0.69), ("buy/auc", 0.71, 0.69), ("buy/logloss", 0.49, 0.51), ("spend/rmse", 2.9, 3.1)],
)
def test_each_metric_has_its_direction(metric: str, better: float, worse: float) -> None:
    assert verdicts(metric, BEST, {**BEST, metric: better}) == [True, True]
    assert verdicts(metric, BEST, {**BEST, metric: worse}) == [True, False]
    assert verdicts(metric, BEST, dict(BEST)) == [True, False]


@pytest.mark.parametrize(
    ("auc", "rmse", "better"),
    [(0.8, 2.0, True), (0.8, 3.0, True), (0.7, 2.0, True), (0.7, 3.0, False), (0.6, 2.0, False), (0.8, 4.0, False), (None, 2.0, False)],
)
def test_no_task_worse(auc: float | None, rmse: float, better: bool) -> None:
    new = {**BEST, "buy/logloss": 9.0, "spend/rmse": rmse} | ({} if auc is None else {"buy/auc": auc})
    if auc is None:
        del new["buy/auc"]
    assert verdicts("no_task_worse", BEST, new) == [True, better]


def test_undefined_metrics() -> None:
    assert verdicts("mean_auc", BEST, {}, {"mean_auc": 0.8}) == [True, False, True]
    assert verdicts("mean_auc", {}, {"mean_auc": 0.1}, {}) == [True, True, False]
    # Nothing to judge by: training goes on, and the last epoch is kept.
    for metric in ("mean_auc", "no_task_worse"):
        assert verdicts(metric, {}, {}, {}, patience=1) == [True, True, True]


def test_patience_counts_from_the_best() -> None:
    best = BestEpoch(EarlyStopping(patience=2))
    seen = []
    for value in (0.5, 0.4, 0.6, 0.5, 0.6):
        best.is_better({"mean_auc": value})
        seen.append(best.exhausted)
    assert seen == [False, False, False, False, True]
    assert best.metrics == {"mean_auc": 0.6}


def test_without_a_configuration_the_last_is_best_and_nothing_stops() -> None:
    best = BestEpoch(None)
    assert [best.is_better({"mean_auc": value}) for value in (0.9, 0.1)] == [True, True]
    assert not best.exhausted


def test_state_survives_json() -> None:
    one, other = BestEpoch(EarlyStopping(patience=2)), BestEpoch(EarlyStopping(patience=2))
    one.is_better({"mean_auc": 0.1 + 0.2})
    one.is_better({"mean_auc": 0.1})
    state: dict[str, Any] = json.loads(json.dumps(one.state()))
    other.load(state)
    assert other.state() == one.state()
    assert not other.is_better({"mean_auc": 0.3}) and other.exhausted
