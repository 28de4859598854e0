"""Draws of units: the statistic of no draw is the metric, intervals are as wide as theory has them, the same seed gives the same."""

from typing import Any

import numpy as np
import pytest

from mtrec.evaluation import bootstrap
from mtrec.evaluation.bootstrap import counts_of_draws, draws_of, interval, of_sums, units_of_rows
from mtrec.evaluation.metric_set import METRICS, judgements
from mtrec.evaluation.rows import JudgedRows


def rows(kind: str, seed: int = 0, num_rows: int = 400, weighted: bool = True) -> JudgedRows:
    random = np.random.default_rng(seed)
    groups, sessions = random.integers(0, 40, num_rows), random.integers(0, 60, num_rows)
    weights = random.choice([0.5, 1.0, 3.0], num_rows).astype(np.float32) if weighted else None
    if kind == "regression":
        labels = random.normal(size=num_rows).astype(np.float32) + 50
        return JudgedRows((labels + random.normal(size=num_rows)).astype(np.float32), labels, weights, groups, sessions)
    scores = (random.integers(1, 50, num_rows) / 50).astype(np.float32)
    return JudgedRows(scores, (random.random(num_rows) < scores).astype(np.float32), weights, groups, sessions)


CASES = [(kind, name) for kind, metrics in METRICS.items() for name, each in metrics.items() if each.statistic is not None]


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_each_unit_once_is_the_metric_itself(kind: str, name: str, weighted: bool) -> None:
    judgement, mine = METRICS[kind][name], rows(kind, weighted=weighted)
    assert judgement.statistic is not None
    units, num_units = judgement.units(mine)
    statistic = judgement.statistic(mine, units, num_units)
    assert statistic(np.ones(num_units)) == pytest.approx(judgement.metric(mine).value, abs=1e-12)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_unit_that_comes_twice_is_as_if_its_rows_stood_twice(kind: str, name: str) -> None:
    judgement, mine = METRICS[kind][name], rows(kind)
    assert judgement.statistic is not None
    units, num_units = judgement.units(mine)
    counts = np.random.default_rng(1).integers(0, 3, num_units)
    copies = [np.flatnonzero(counts[units] > copy) for copy in range(2)]
    again = np.concatenate(copies)
    # A copied group is another group with the same rows.
    apart = np.repeat([0, 1000], [len(copy) for copy in copies])
    taken = JudgedRows(mine.predictions[again], mine.labels[again], mine.weight[again], mine.groups[again] + apart, mine.sessions[again] + apart)  # type: ignore[index]
    expected = judgement.metric(taken).value
    assert judgement.statistic(mine, units, num_units)(counts.astype(float)) == pytest.approx(expected, abs=1e-12)


def test_the_spread_of_a_mean_is_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    mean = of_sums([values, np.ones(2000)], *units_of_rows(None, 2000), lambda total, count: total / count)
    draws = draws_of({"mean": mean}, 2000, 500, seed=0)["mean"]
    assert draws.std() == pytest.approx(values.std() / 2000**0.5, rel=0.1)
    ends = interval(draws)
    assert ends is not None and ends[1] - ends[0] == pytest.approx(2 * 1.96 * values.std() / 2000**0.5, rel=0.15)


def test_rows_of_a_group_stay_together() -> None:
    # Ten rows of each group are one and the same: the spread is that of 100 groups, not of 1000 rows.
    values, groups = np.repeat(np.random.default_rng(0).normal(size=100), 10), np.repeat(np.arange(100) * 7, 10)
    units, num_units = units_of_rows(groups, 1000)
    assert num_units == 100
    mean = of_sums([values, np.ones(1000)], units, num_units, lambda total, count: total / count)
    assert draws_of({"mean": mean}, 100, 500, seed=0)["mean"].std() == pytest.approx(values.std() / 10, rel=0.1)


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    first, again, other = (np.stack(list(counts_of_draws(50, 4, seed))) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()
    assert (first.sum(1) == 50).all()


def test_rows_beyond_many_share_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "MOST_UNITS", 100)
    units, num_units = units_of_rows(None, 1000)
    assert num_units == 100 and (np.bincount(units) == 10).all()


@pytest.mark.parametrize(
    ("draws", "ends"),
    [([], None), ([0.5] * 9, None), ([np.nan] * 2 + [0.1, 0.2], None), (np.linspace(0, 1, 201), (0.025, 0.975))],
)
def test_no_interval_without_spread_or_where_a_metric_is_often_undefined(draws: Any, ends: Any) -> None:
    found = interval(np.array(draws, dtype=float))
    assert found == (None if ends is None else pytest.approx(ends))


def test_metrics_of_groups_need_groups() -> None:
    mine = rows("binary")
    assert set(judgements("binary", mine)) == set(METRICS["binary"])
    plain = judgements("binary", mine._replace(groups=None, sessions=None))
    assert list(plain) == ["auc", "logloss", "pr_auc", "normalised_entropy", "predicted_over_actual", "ece_equal_count"]


def test_rows_without_a_group_do_not_count_in_group_metrics() -> None:
    mine = rows("binary")
    assert mine.groups is not None
    lost = np.arange(400) % 3 == 0
    some = mine._replace(groups=np.where(lost, -1 - np.arange(400), mine.groups))
    judgement = METRICS["binary"]["gauc_impressions"]
    assert judgement.metric(judgement.rows(some)) == judgement.metric(mine.where(~lost))
    assert METRICS["binary"]["auc"].rows(some) is some
