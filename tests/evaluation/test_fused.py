"""Outcomes, the figures of a score, and the search for weights."""

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mtrec.evaluation.fused import fuse, search, searched_outputs
from mtrec.evaluation.metrics.gauc import gauc
from mtrec.evaluation.metrics.top_k import ndcg
from mtrec.evaluation.outcomes import Outcome, outcomes_of
from mtrec.evaluation.ranking import RankedRows, ranking_report
from mtrec.schema import Task
from mtrec.training.scoring import Scores

TASKS = {
    "click": Task.model_validate({"label": "c"}),
    "keep": Task.model_validate({"label": "k", "given": "buy"}),
    "buy": Task.model_validate({"label": "b", "given": "click"}),
    "spend": Task.model_validate({"label": "s", "kind": "regression", "given": "buy"}),
}


def test_an_outcome_is_the_product_of_labels_known_where_any_is_zero() -> None:
    #          clicked and all known, not clicked, click unknown, clicked and not bought, clicked and buy unknown, bought and keep unknown
    labels = np.array([[1, 1, 1, 9], [0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 1, 3]], dtype=np.float32)
    mask = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0], [1, 0, 1, 1]], dtype=np.bool_)
    nothing = np.zeros(6, dtype=np.float32)
    found = outcomes_of(Scores(labels, labels, mask, nothing, nothing.astype(np.int64), labels), TASKS)
    assert list(found) == list(TASKS)
    assert found["click"].known.tolist() == [True, True, False, True, True, True]
    assert found["buy"].known.tolist() == [True, True, False, True, False, True]
    assert found["keep"].known.tolist() == [True, True, False, True, False, False]
    assert found["spend"].known.tolist() == [True, True, False, True, False, True]
    assert found["buy"].values.tolist() == [1, 0, 0, 0, 0, 1] and found["spend"].values.tolist() == [9, 0, 0, 0, 0, 3]
    assert found["keep"].values.tolist() == [1, 0, 0, 0, 0, 0]


def ranked(num_rows: int = 6000, groups: bool = True, **changes: Any) -> tuple[RankedRows, dict[str, np.ndarray]]:
    """Two events that pull apart: x makes a click likelier and a buy less likely, y does both good."""
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, num_rows))
    p = {"click": 1 / (1 + np.exp(-(x + 0.5 * y))), "buy": 0.02 / (1 + np.exp(-(0.5 * y - x) * 1.5))}
    served = {name: values.astype(np.float32) for name, values in p.items()}
    outcomes = {name: Outcome((random.random(num_rows) < values).astype(float), np.ones(num_rows, dtype=bool)) for name, values in p.items()}
    kinds = {"click": "binary", "buy": "binary"}
    rows = RankedRows(outcomes, kinds, None, np.sort(random.integers(0, 300, num_rows)) if groups else None, {})
    return rows._replace(**changes), served


def test_the_figures_are_those_of_the_metrics() -> None:
    rows, served = ranked()
    weights = {"click": 1.0, "buy": 20.0}
    score = fuse(served, weights)
    report = ranking_report(rows, score, weights)
    assert report["weights"] == weights and list(report["tasks"]) == ["click", "buy"]
    assert rows.groups is not None
    for task in weights:
        labels, found = rows.outcomes[task].values, report["tasks"][task]
        assert found["auc"]["value"] == pytest.approx(roc_auc_score(labels, score), abs=1e-9)
        assert found["gauc_impressions"]["value"] == gauc(score, labels, rows.groups).value
        assert found["ndcg_10"]["value"] == ndcg(score, labels, rows.groups).value
    only = ranking_report(rows, score, {"buy": 3.0})
    assert only["gain"]["ndcg_10"]["value"] == pytest.approx(only["tasks"]["buy"]["ndcg_10"]["value"], rel=1e-12)
    assert report["gain"]["ndcg_10"]["value"] not in (only["gain"]["ndcg_10"]["value"], None)


def test_rows_of_unknown_outcome_do_not_count() -> None:
    rows, served = ranked()
    known = np.arange(6000) % 3 > 0
    hidden = {"click": rows.outcomes["click"], "buy": Outcome(np.where(known, rows.outcomes["buy"].values, 0.0), known)}
    found = rows._replace(outcomes=hidden).figure("auc", served["click"], "buy").value
    assert found == pytest.approx(roc_auc_score(rows.outcomes["buy"].values[known], served["click"][known]), abs=1e-9)


def test_without_groups_or_where_they_are_void_there_is_a_reason() -> None:
    rows, served = ranked(groups=False)
    report = ranking_report(rows, served["click"], {"click": 1.0})
    assert report["tasks"]["click"]["ndcg_10"] == {"value": None, "reason": "no groups: set evaluation.group"} == report["gain"]["ndcg_10"]
    rows, _ = ranked(void={"groups": "void: seen"})
    report = ranking_report(rows, served["click"], {"click": 1.0})
    assert report["tasks"]["click"]["gauc_impressions"]["reason"] == "void: seen" == report["gain"]["ndcg_10"]["reason"]
    assert report["tasks"]["click"]["auc"]["value"] > 0.5
    assert search(rows, served, ["click", "buy"], {})["metric"] == "auc"


def test_corners_are_the_tasks_own_figures_and_the_front_is_not_dominated() -> None:
    rows, served = ranked()
    found = search(rows, served, ["click", "buy"], {})
    assert found == search(rows, served, ["click", "buy"], {}) and found["metric"] == "gauc_impressions"
    front = found["fronts"]["click/buy"]
    figures = np.array([[point["click"], point["buy"]] for point in front])
    assert len(front) > 5 and (np.diff(figures[:, 0]) > 0).all() and (np.diff(figures[:, 1]) < 0).all()
    assert figures[-1, 0] >= found["own"]["click"] and figures[0, 1] >= found["own"]["buy"]
    own = found["own"]
    assert own["click"] == gauc(served["click"], rows.outcomes["click"].values, rows.groups).value  # type: ignore[arg-type]
    target = np.mean((figures - 0.5) / (np.array([own["click"], own["buy"]]) - 0.5), axis=1)
    assert found["chosen"]["target"] >= target.max() - 1e-12
    alone = [np.mean([(rows.figure(found["metric"], served[name], task).value - 0.5) / (own[task] - 0.5) for task in own]) for name in own]  # type: ignore[operator]
    assert found["chosen"]["target"] > max(alone) + 0.01


def test_the_chosen_weights_give_the_figures_that_stand_beside_them() -> None:
    rows, served = ranked()
    chosen = search(rows, served, ["click", "buy"], {"click": 1.0, "buy": 2.0})["chosen"]
    assert sum(chosen["weights"].values()) == pytest.approx(1, abs=1e-5)
    for task, value in chosen["figures"].items():
        assert rows.figure("gauc_impressions", fuse(served, chosen["weights"]), task).value == value


def test_the_scale_of_an_output_does_not_matter() -> None:
    rows, served = ranked(2000)
    found = search(rows, served, ["click", "buy"], {})
    scaled = search(rows, {**served, "buy": served["buy"] * np.float32(1024)}, ["click", "buy"], {})
    assert scaled["chosen"]["target"] == pytest.approx(found["chosen"]["target"], abs=1e-3)
    ratios = [each["chosen"]["weights"]["buy"] / each["chosen"]["weights"]["click"] for each in (found, scaled)]
    assert ratios[0] / ratios[1] == pytest.approx(1024, rel=1e-3)


def test_what_cannot_be_searched_says_why() -> None:
    rows, served = ranked(2000)
    assert "fewer than two" in search(rows, served, ["click"], {})["reason"]
    assert "fewer than two" in search(rows, {**served, "buy": np.zeros(2000, dtype=np.float32)}, ["click", "buy"], {})["reason"]
    assert "chance" in search(rows, {name: -values for name, values in served.items()}, ["click", "buy"], {})["reason"]
    assert "below 0" in search(rows, served, ["click", "buy"], {"click": -1.0, "buy": 1.0})["reason"]


def test_a_task_that_no_score_of_its_own_ranks_is_left_out() -> None:
    rows, served = ranked()
    found = search(rows, {**served, "buy": -served["buy"]}, ["click", "buy"], {})
    assert list(found["own"]) == ["click"] and "chance" in found["left_out"]["buy"] and found["fronts"] == {}


def test_which_outputs_are_weighed() -> None:
    served = dict.fromkeys(["click", "buy.conditional", "buy.joint", "keep.conditional", "spend.joint"])
    kinds = {"click": "binary", "buy": "binary", "keep": "binary", "spend": "regression"}
    assert searched_outputs(served, kinds, {}) == ["click", "buy.joint", "keep.conditional"]
    assert searched_outputs(served, kinds, {"spend.joint": 1.0}) == ["spend.joint"]
