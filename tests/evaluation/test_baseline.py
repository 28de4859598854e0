"""The LightGBM baseline: finds what was planted, says what it cannot judge, and repeats itself."""

import sys
from typing import Any

import numpy as np
import pytest

from mtrec.errors import ConfigError, DataError
from mtrec.evaluation.baseline import BaselineData, lightgbm_baseline
from mtrec.schema import Label, Task

TASKS = {
    "click": Task(label=Label(column="is_click")),
    "spend": Task(label=Label(column="spend"), kind="regression"),
    "never": Task(label=Label(column="never")),
}


def split(seed: int, num_rows: int = 1500) -> BaselineData:
    """A click where two features have one sign, a spend that rises with the third; nulls, unknown labels, odd feature names."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(num_rows, 4)).astype(np.float32)
    click = (features[:, 0] * features[:, 1] > 0) ^ (random.random(num_rows) < 0.02)
    labels = np.stack([click, 10 * features[:, 2] + random.normal(size=num_rows), np.zeros(num_rows)], 1)
    features[random.random(num_rows) < 0.02, 3] = np.nan
    mask = random.random((num_rows, 3)) < 0.9
    return BaselineData(features, ['a{"', "b c", "d,", "é"], np.where(mask, labels, np.nan), mask, random.uniform(0.5, 1.5, num_rows))


def fit(**changes: Any) -> dict[str, Any]:
    options: dict[str, Any] = {"train": split(0), "valid": split(1, 600), "test": split(2, 600), "tasks": TASKS, "seed": 0, "threads": 1}
    return lightgbm_baseline(**(options | changes))


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return fit()


def test_finds_what_was_planted(found: dict[str, Any]) -> None:
    assert found["tasks"]["click"]["auc"]["value"] > 0.9
    assert found["tasks"]["spend"]["rmse"]["value"] < 3  # of a standard deviation of 10
    assert found["seconds"] > 0
    assert 1 <= found["rounds"]["click"] <= 500


def test_judges_known_rows_of_the_test_split(found: dict[str, Any]) -> None:
    test = split(2, 600)
    assert found["tasks"]["click"]["rows"] == test.mask[:, 0].sum()
    assert found["tasks"]["click"]["positives"] == (test.labels[test.mask[:, 0], 0] == 1).sum()
    assert list(found["tasks"]) == list(TASKS)


def test_one_class_in_train_is_undefined(found: dict[str, Any]) -> None:
    never = found["tasks"]["never"]
    assert never["auc"] == never["logloss"] == {"value": None, "reason": "train has one class"}
    assert (never["kind"], never["positives"]) == ("binary", 0)
    assert "never" not in found["rounds"]


def test_no_rows_in_train_are_undefined() -> None:
    train = split(0)
    train.mask[:, 1] = False
    only = {name: TASKS[name] for name in ("click", "spend")}
    assert fit(train=train, tasks=only)["tasks"]["spend"]["rmse"] == {"value": None, "reason": "train has no rows"}


def test_a_valid_split_that_cannot_judge_and_a_test_split_without_rows() -> None:
    valid, test = split(1, 600), split(2, 600)
    valid.mask[:, 0] = False
    test.mask[:, 0] = False
    result = fit(valid=valid, test=test, tasks={"click": TASKS["click"]})
    assert result["rounds"] == {"click": 100}
    assert result["tasks"]["click"]["auc"] == {"value": None, "reason": "no rows"}


def test_the_same_seed_gives_the_same_report(found: dict[str, Any]) -> None:
    assert fit()["tasks"] == found["tasks"]


def test_progress_names_each_task() -> None:
    seen: list[str] = []
    fit(train=split(0, 200), progress=seen.append)
    assert seen == list(TASKS)


def test_weights_count() -> None:
    train, valid = split(0), split(1, 600)
    noise = np.arange(1500) % 2 == 0
    train.labels[noise, 0] = 1 - train.labels[noise, 0]  # half of the rows say the opposite: without weights nothing is left to learn
    train.weight[noise] = 0
    assert fit(train=train, valid=valid, tasks={"click": TASKS["click"]})["tasks"]["click"]["auc"]["value"] > 0.9


def test_other_features_are_refused() -> None:
    test = split(2)
    with pytest.raises(DataError, match="different features"):
        fit(test=test._replace(names=test.names[::-1]))


def test_missing_lightgbm_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ConfigError, match=r'pip install "mtrec-moe\[gbdt\]"'):
        fit()
