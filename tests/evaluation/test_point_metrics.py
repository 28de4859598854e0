"""Log loss and RMSE by hand, by scikit-learn, and where they have no value."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as reference_log_loss
from sklearn.metrics import root_mean_squared_error

from mtrec.errors import DataError
from mtrec.evaluation.metrics.log_loss import log_loss, log_loss_from_logits
from mtrec.evaluation.metrics.rmse import rmse

cases = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def test_log_loss_by_hand() -> None:
    assert log_loss([0.8, 0.4], [1, 0]).value == pytest.approx(-(math.log(0.8) + math.log(0.6)) / 2, abs=1e-15)
    assert log_loss([0.8, 0.4], [1, 0], [3, 1]).value == pytest.approx(-(3 * math.log(0.8) + math.log(0.6)) / 4, abs=1e-15)
    assert log_loss([0.5], [1]).value == pytest.approx(math.log(2), abs=1e-15)


def test_log_loss_is_clipped_alike_on_both_ends() -> None:
    assert log_loss([0.0], [1]).value == pytest.approx(-math.log(1e-7), abs=1e-9)
    assert log_loss([1.0], [0]).value == pytest.approx(-math.log(1e-7), abs=1e-9)
    assert log_loss([0.0, 1.0], [0, 1]).value == pytest.approx(1e-7, rel=1e-6)


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(1, 200),
    weighted=st.booleans(),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
def test_equal_to_scikit_learn(seed: int, num_rows: int, weighted: bool, dtype: str) -> None:
    random = np.random.default_rng(seed)
    scores = random.uniform(0.01, 0.99, num_rows).astype(dtype)
    labels = random.integers(0, 2, num_rows)
    weights = random.random(num_rows) if weighted else None
    exact = scores.astype(np.float64)
    expected = reference_log_loss(labels, exact, sample_weight=weights, labels=[0, 1])
    assert log_loss(scores, labels, weights).value == pytest.approx(expected, abs=1e-12)
    assert rmse(scores, labels, weights).value == pytest.approx(root_mean_squared_error(labels, exact, sample_weight=weights), abs=1e-12)
    logits = np.log(exact) - np.log1p(-exact)
    assert log_loss_from_logits(logits, labels, weights).value == pytest.approx(expected, abs=1e-12)


def test_large_logits_are_exact() -> None:
    assert log_loss_from_logits([1000.0, -1000.0], [0, 1]).value == 1000
    assert log_loss_from_logits([1000.0, -1000.0], [1, 0]).value == 0


def test_rmse_by_hand() -> None:
    assert rmse([1, 2, 4], [1, 0, 0]).value == pytest.approx(math.sqrt(20 / 3))
    assert rmse([1, 2, 4], [1, 0, 0], [1, 2, 1]).value == pytest.approx(math.sqrt(24 / 4))
    assert rmse([2.5], [2.5]).to_json() == {"value": 0.0}


def test_large_float32_predictions_keep_their_digits() -> None:
    predictions = np.full(1000, 2.0**24, np.float32)
    assert rmse(predictions, np.full(1000, 2.0**24 - 1)).value == 1


@pytest.mark.parametrize("metric", [log_loss, log_loss_from_logits, rmse])
def test_undefined_says_why(metric: Any) -> None:
    assert metric([], []).to_json() == {"value": None, "reason": "no rows"}
    assert metric([0.5, 0.5], [0, 1], [0, 0]).to_json() == {"value": None, "reason": "no row has weight"}


@pytest.mark.parametrize("metric", [log_loss, log_loss_from_logits, rmse])
def test_one_class_is_enough(metric: Any) -> None:
    assert metric([0.5, 0.25], [1, 1]).value is not None


@pytest.mark.parametrize("metric", [log_loss, log_loss_from_logits, rmse])
@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        ([0.5, float("nan")], [0, 1], None, "are NaN .task `buy`.. Found: 1 of 2"),
        ([0.5, 0.5], [0, float("nan")], None, "labels are NaN"),
        ([0.5, 0.5], [0, 1, 1], None, "another length"),
        ([0.5, float("inf")], [0, 1], None, "Found: 1 of 2"),
        ([0.5, 0.5], [0, 1], [1, -1], "negative"),
    ],
)
def test_faults_are_named(metric: Any, scores: Any, labels: Any, weights: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metric(scores, labels, weights, where="task `buy`")


def test_logits_are_not_taken_for_probabilities() -> None:
    with pytest.raises(DataError, match=r"outside \[0, 1\].* Found: 2 of 3\. Hand on probabilities"):
        log_loss([0.5, 3.0, -1.0], [0, 1, 1])
