"""Paired differences: nothing against itself, the level under the null, the correction over tasks, pairs of seeds, and the gate."""

from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, ttest_1samp

from mtrec.errors import DataError, GateError
from mtrec.evaluation.compare import compare_rows, compare_seeds, compare_task
from mtrec.evaluation.gate import refuse_if_worse
from mtrec.evaluation.holm import holm
from mtrec.evaluation.metric_set import METRICS
from mtrec.evaluation.metrics.delong import auc_difference
from mtrec.evaluation.rows import JudgedRows


def rows(seed: int, noise: float, num_rows: int = 300, kind: str = "binary") -> JudgedRows:
    """Rows whose labels depend on the fixed truth alone, and whose predictions add noise of a seed."""
    truth, random = np.random.default_rng(99), np.random.default_rng(seed)
    logit = truth.normal(size=num_rows)
    labels = (truth.random(num_rows) < 1 / (1 + np.exp(-logit))).astype(np.float32) if kind == "binary" else logit.astype(np.float32)
    score = logit + noise * random.normal(size=num_rows)
    predictions = 1 / (1 + np.exp(-score)) if kind == "binary" else score
    return JudgedRows(predictions.astype(np.float32), labels, None, np.arange(num_rows) % 30, np.arange(num_rows) % 50)


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_a_model_against_itself_differs_by_exactly_nothing(kind: str) -> None:
    mine = rows(0, 1.0, kind=kind)
    found = compare_task(kind, mine, mine._replace(predictions=mine.predictions.copy()), {}, 50, "task `a`")
    assert set(found) == set(METRICS[kind])
    for name, each in found.items():
        assert each["difference"] == 0.0 and each["first"] == each["second"]
        if METRICS[kind][name].statistic is not None:
            assert (each["low"], each["high"], each["p"]) == (0.0, 0.0, 1.0)


def test_the_auc_is_tested_by_delong_and_by_the_bootstrap_alike() -> None:
    a, b = rows(0, 0.5), rows(1, 1.0)
    found = compare_task("binary", a, b, {}, 0, "")
    delong = auc_difference(a.predictions, b.predictions, a.labels)
    assert delong.value is not None and delong.error is not None
    assert found["auc"]["difference"] == delong.value
    assert (found["auc"]["high"] - found["auc"]["low"]) / 2 == pytest.approx(1.959964 * delong.error)
    assert found["auc"]["p"] == pytest.approx(2 * NormalDist().cdf(-abs(delong.value) / delong.error))
    assert "p" not in found["logloss"]
    weights = np.where(np.arange(300) < 150, 1.0, 1.0001)  # Weights that hardly differ make the bootstrap of what DeLong does.
    drawn = compare_task("binary", a._replace(weights=weights, groups=None), b._replace(weights=weights, groups=None), {}, 600, "")
    assert drawn["auc"]["high"] - drawn["auc"]["low"] == pytest.approx(found["auc"]["high"] - found["auc"]["low"], rel=0.12)


def rejections(a: JudgedRows, b: JudgedRows, names: list[str]) -> dict[str, int]:
    """How many of 500 tests of each metric reject at 5 %. Scores of the two models are swapped row by row at random: all that differs is chance."""
    random, rejected = np.random.default_rng(0), dict.fromkeys(names, 0)
    for _ in range(500):
        swap = random.random(len(a.labels)) < 0.5
        first = a._replace(predictions=np.where(swap, b.predictions, a.predictions))
        second = b._replace(predictions=np.where(swap, a.predictions, b.predictions))
        found = compare_task("binary", first, second, {}, 60, "")
        for name in names:
            rejected[name] += found[name]["p"] < 0.05
    return rejected


@pytest.mark.slow
def test_the_level_holds_under_the_null() -> None:
    a, b = (each._replace(groups=None, sessions=None) for each in (rows(0, 0.7, 150), rows(1, 0.7, 150)))
    found = rejections(a, b, ["auc", "logloss", "predicted_over_actual"])
    low, high = binom.interval(0.95, 500, 0.05)
    assert (low, high) == (16, 35) and all(low <= count <= high for count in found.values()), found


@pytest.mark.slow
def test_the_level_holds_within_groups_and_sessions() -> None:
    keys: dict[str, Any] = {"groups": np.arange(600) % 100, "sessions": np.arange(600) % 150}
    a, b = (each._replace(**keys) for each in (rows(0, 0.7, 600), rows(1, 0.7, 600)))
    found = rejections(a, b, ["gauc_impressions", "gauc_positives", "gauc_macro", "ndcg_10", "session_auc", "session_logloss"])
    low, high = binom.interval(0.95, 500, 0.05)
    assert all(low <= count <= high for count in found.values()), found


def test_a_real_difference_is_found_and_has_its_sign() -> None:
    found = compare_task("binary", rows(0, 0.2, 3000), rows(1, 3.0, 3000), {}, 100, "")
    for name, better in (("auc", 1), ("pr_auc", 1), ("gauc_impressions", 1), ("ndcg_10", 1), ("logloss", -1), ("normalised_entropy", -1)):
        assert better * found[name]["difference"] > 0 and found[name]["p"] < 0.01, name
        assert found[name]["low"] * found[name]["high"] > 0


def test_correction_over_tasks_metric_by_metric() -> None:
    first = {task: rows(seed, 0.5) for task, seed in (("a", 0), ("b", 2), ("c", 4))}
    second = {task: rows(seed, 0.8) for task, seed in (("a", 1), ("b", 3), ("c", 5))}
    found = compare_rows(dict.fromkeys(first, "binary"), first, second, {}, 20)
    for metric in ("auc", "logloss"):
        assert [each[metric]["p_corrected"] for each in found.values()] == holm([each[metric]["p"] for each in found.values()])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_what_is_void_or_undefined_says_why() -> None:
    a, b = rows(0, 0.5), rows(1, 0.8)
    found = compare_task("binary", a, b, {"groups": "void: x", "sessions": "void: y"}, 20, "")
    assert found["gauc_macro"] == {"first": None, "second": None, "reason": "void: x"}
    assert found["session_auc"]["reason"] == "void: y" and "difference" in found["session_logloss"]
    ones = np.ones(300, np.float32)
    assert compare_task("binary", a._replace(labels=ones), b._replace(labels=ones), {}, 0, "")["auc"]["reason"] == "one class: no label is 0"


def test_other_rows_are_refused() -> None:
    a, b = rows(0, 0.5), rows(1, 0.8)
    for name, other in (("labels", 1 - a.labels), ("weights", np.ones(300)), ("groups", np.zeros(300, np.int64)), ("sessions", None)):
        with pytest.raises(DataError, match=rf"same rows .task `buy`, {name}"):
            compare_task("binary", a, b._replace(**{name: other}), {}, 0, "task `buy`")


def difference(value: float, first: float = 0.7) -> dict[str, Any]:
    return {"a": {"auc": {"first": first, "second": first - value, "difference": value, "low": value - 1, "high": value + 1, "p": 0.3}}}


def test_seeds_are_judged_by_students_t() -> None:
    values = [0.01, 0.02, 0.015, 0.03]
    found = compare_seeds([difference(value) for value in values])["a"]["auc"]
    reference = ttest_1samp(values, 0)
    ends = reference.confidence_interval()
    assert (found["difference"], found["seeds"]) == (pytest.approx(np.mean(values)), 4)
    assert [found["p"], found["p_corrected"], found["low"], found["high"]] == pytest.approx([reference.pvalue, reference.pvalue, ends.low, ends.high])
    same = compare_seeds([difference(0.0), difference(0.0)])["a"]["auc"]
    assert (same["difference"], same["p"]) == (0.0, 1.0)
    undefined = {"a": {"auc": {"first": None, "second": None, "reason": "no rows"}}}
    assert compare_seeds([difference(0.1), undefined])["a"]["auc"]["reason"] == "no rows"


def auc(value: float, low: float, high: float, ratio: float | None = 1.0) -> dict[str, Any]:
    return {
        "auc": {"first": 0.7, "second": 0.7, "difference": value, "low": low, "high": high},
        "predicted_over_actual": {"first": ratio, "second": 1},
    }


def test_the_gate_lets_through_what_chance_explains() -> None:
    spend = {"rmse": {"first": 1, "second": 1, "difference": 0.1, "low": -0.1, "high": 0.3}}
    refuse_if_worse({"click": auc(-0.01, -0.03, 0.01), "buy": auc(0.2, 0.1, 0.3, None), "spend": spend})


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (auc(-0.02, -0.03, -0.01), "`a`: auc is worse by 0.02, and by at least 0.01"),
        ({"rmse": {"first": 2, "second": 1, "difference": 1, "low": 0.5, "high": 1.5}}, "rmse is worse by 1, and by at least 0.5"),
        ({"rmse": {"first": 1, "second": 2, "difference": -1, "low": -1.5, "high": -0.5}}, None),
        ({"auc": {"first": 0.5, "second": 0.6, "difference": -0.1}}, "auc is worse"),
        ({"auc": {"first": None, "second": 0.6, "reason": "one class"}}, "auc cannot be compared: one class"),
        (auc(0.1, 0.0, 0.2, 1.2), "predicted over actual is 1.2, outside of 0.9 to 1.1"),
    ],
)
def test_the_gate_names_what_stands_against_it(task: dict[str, Any], message: str | None) -> None:
    if message is None:
        refuse_if_worse({"a": task})
    else:
        with pytest.raises(GateError, match=message):
            refuse_if_worse({"fine": auc(0, -1, 1), "a": task})


def test_bounds_of_calibration_can_be_set() -> None:
    refuse_if_worse({"a": auc(0.1, 0.0, 0.2, 1.2)}, (0.5, 1.5))
