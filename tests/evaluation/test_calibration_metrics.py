"""Normalised entropy, predicted over actual, calibration error and session log loss: by hand, by naive loops, and where they have no value."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from mtrec.errors import DataError
from mtrec.evaluation.metrics.ece import ece
from mtrec.evaluation.metrics.normalised_entropy import normalised_entropy
from mtrec.evaluation.metrics.predicted_over_actual import predicted_over_actual
from mtrec.evaluation.metrics.session_log_loss import session_log_loss

cases = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def rows(seed: int, num_rows: int, num_values: int, dtype: str, weighted: bool) -> tuple[Any, Any, Any]:
    random = np.random.default_rng(seed)
    scores = (np.round(random.uniform(0.01, 0.99, num_rows) * num_values) / num_values).clip(0.01, 0.99).astype(dtype)
    labels = random.integers(0, 2, num_rows).astype(np.int8)
    labels[:2] = [0, 1]
    weights = random.choice([0.0, 0.5, 3.0], num_rows) if weighted else None
    if weights is not None:
        weights[:2] = 1
    return scores, labels, weights


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(2, 200),
    num_values=st.sampled_from([1, 5, 1000]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    weighted=st.booleans(),
)
def test_equal_to_naive_sums(seed: int, num_rows: int, num_values: int, dtype: str, weighted: bool) -> None:
    scores, labels, weights = rows(seed, num_rows, num_values, dtype, weighted)
    exact, weight = scores.astype(np.float64), np.ones(num_rows) if weights is None else weights
    b = np.average(labels, weights=weight)
    entropy = log_loss(labels, np.full(num_rows, b), sample_weight=weights)
    assert normalised_entropy(scores, labels, weights).value == pytest.approx(log_loss(labels, exact, sample_weight=weights) / entropy, abs=1e-12)
    ratio = math.fsum(exact * weight) / math.fsum(labels * weight)
    assert predicted_over_actual(scores, labels, weights).value == pytest.approx(ratio, abs=1e-12)
    for bins, of_row in (("equal_width", [min(int(p * 15), 14) for p in exact.tolist()]), ("equal_count", by_middle_rank(exact, weight))):
        gaps: dict[int, list[float]] = {}
        for index, score, label, w in zip(of_row, exact.tolist(), labels.tolist(), weight.tolist(), strict=True):
            gaps.setdefault(index, []).append(w * (score - label))
        expected = sum(abs(math.fsum(gap)) for gap in gaps.values()) / weight.sum()
        assert ece(scores, labels, weights, bins=bins).value == pytest.approx(expected, abs=1e-12)  # type: ignore[arg-type]
    sessions = np.random.default_rng(seed).integers(-5, 5, num_rows)
    losses = [
        log_loss(labels[mine], exact[mine], sample_weight=weight[mine], labels=[0, 1])
        for mine in (sessions == session for session in np.unique(sessions))
        if weight[mine].sum() > 0
    ]
    assert session_log_loss(scores, labels, sessions, weights).value == pytest.approx(np.mean(losses), abs=1e-12)


def by_middle_rank(scores: Any, weight: Any, num_bins: int = 15) -> list[int]:
    """The bin of each row by the middle of the weight of the rows that have its score, row after row."""
    middles = [weight[scores < score].sum() + weight[scores == score].sum() / 2 for score in scores]
    return [min(int(middle * num_bins / weight.sum()), num_bins - 1) for middle in middles]


def test_a_constant_mean_prediction_has_normalised_entropy_one() -> None:
    labels = np.arange(1000) < 37
    assert normalised_entropy(np.full(1000, 0.037), labels).value == pytest.approx(1, abs=1e-12)
    assert normalised_entropy([0.9, 0.2], [1, 0], [1, 0]).reason == "one class: the labels have no entropy"


def test_predicted_over_actual_keeps_both_sums() -> None:
    assert predicted_over_actual([0.5, 0.25], [1, 0]).to_json() == {"value": 0.75, "predicted": 0.75, "actual": 1.0}
    found = predicted_over_actual(np.array([0.5, 0.25], np.float16), np.array([0, 0], np.int8))
    assert found.to_json() == {"value": None, "reason": "no positive has weight", "predicted": 0.75, "actual": 0.0}


def test_calibration_error_by_hand() -> None:
    # One bin holds .9 (label 1) and .9 (label 0), the other .1 (label 0): gaps |.9 - .5| of 2 rows and .1 of 1.
    found = ece([0.9, 0.1, 0.9], [1, 0, 0], bins="equal_width", num_bins=10)
    assert found.to_json() == {"value": pytest.approx((2 * 0.4 + 0.1) / 3), "bins": 2.0}
    assert ece([1.0, 0.0], [1, 0], bins="equal_width").value == 0
    assert ece(np.full(99, 0.25), np.arange(99) < 33, bins="equal_count").to_json() == {"value": pytest.approx(1 / 3 - 0.25), "bins": 1.0}


def test_equal_count_bins_hold_equal_counts_where_scores_differ() -> None:
    found = ece(np.arange(1500) / 1500, np.zeros(1500), bins="equal_count")
    assert found.value == pytest.approx(np.mean(np.arange(1500) / 1500)) and found.facts == {"bins": 15.0}


@pytest.mark.parametrize(
    "metric",
    [
        normalised_entropy,
        predicted_over_actual,
        lambda p, y, w=None: ece(p, y, w, bins="equal_count"),
        lambda p, y, w=None: ece(p, y, w, bins="equal_width"),
        lambda p, y, w=None: session_log_loss(p, y, np.zeros(len(y), np.int64), w),
    ],
)
def test_undefined_says_why_and_faults_are_named(metric: Any) -> None:
    assert metric([], []).to_json() == {"value": None, "reason": "no rows"}
    nothing = metric([0.5, 0.5], [0, 1], [0, 0])
    assert nothing.value is None and nothing.reason in ("no row has weight", "no positive has weight")
    for scores, labels, message in (([0.5, np.nan], [0, 1], "NaN"), ([0.5, 1.5], [0, 1], "outside"), ([0.5, 0.5], [0, 2], "neither 0 nor 1")):
        with pytest.raises(DataError, match=message):
            metric(scores, labels)


def test_a_session_counts_once() -> None:
    loss = -math.log(0.8), -math.log(0.6)
    assert session_log_loss([0.8, 0.8, 0.8, 0.4], [1, 1, 1, 0], [3, 3, 3, 8]).value == pytest.approx(sum(loss) / 2, abs=1e-15)
    assert session_log_loss([0.8, 0.4], [1, 0], [3, 8], [1, 0]).value == pytest.approx(loss[0], abs=1e-15)
