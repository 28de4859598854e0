"""Mean absolute error and R2 against scikit-learn, XAUC against every pair of rows."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, r2_score

from mtrec.errors import DataError
from mtrec.evaluation.metrics.auc import auc
from mtrec.evaluation.metrics.mae import mae
from mtrec.evaluation.metrics.r2 import r2
from mtrec.evaluation.metrics.xauc import xauc

cases = settings(max_examples=100, deadline=None, derandomize=True, database=None)


def by_pairs(predictions: Any, labels: Any, weights: Any) -> float:
    wins = (predictions[:, None] > predictions) + 0.5 * (predictions[:, None] == predictions)
    pairs = (labels[:, None] > labels) * weights[:, None] * weights
    return float((wins * pairs).sum() / pairs.sum())


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(2, 120),
    num_values=st.sampled_from([1, 3, 1000]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    weighted=st.booleans(),
    offset=st.sampled_from([0.0, 1000.0]),
)
def test_equal_to_naive_computation(seed: int, num_rows: int, num_values: int, dtype: str, weighted: bool, offset: float) -> None:
    random = np.random.default_rng(seed)
    predictions, labels = ((np.round(random.normal(size=num_rows) * num_values) / num_values + offset).astype(dtype) for _ in range(2))
    labels[:2] = offset, offset + 1
    weights = random.choice([0.0, 0.5, 3.0], num_rows) if weighted else None
    if weights is not None:
        weights[:2] = 1
    exact = predictions.astype(np.float64), labels.astype(np.float64)
    assert mae(predictions, labels, weights).value == pytest.approx(mean_absolute_error(exact[1], exact[0], sample_weight=weights), abs=1e-12)
    assert r2(predictions, labels, weights).value == pytest.approx(r2_score(exact[1], exact[0], sample_weight=weights), rel=1e-12, abs=1e-12)
    found = xauc(predictions, labels, weights).value
    assert found == pytest.approx(by_pairs(*exact, np.ones(num_rows) if weights is None else weights), abs=1e-12)


def test_by_hand() -> None:
    assert mae([1, 2, 4], [1, 0, 0]).value == 2
    assert r2([2.0, 2.0, 2.0], [1, 2, 3]).value == 0
    # Of the pairs with different labels, (1, 2) and (1, 3) are in order, (2, 3) ties.
    assert xauc([0.1, 0.7, 0.7], [1, 2, 3]).value == pytest.approx(2.5 / 3)


def test_xauc_of_two_classes_is_the_auc() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 50, 3000), random.integers(0, 2, 3000)
    assert xauc(scores, labels).value == auc(scores, labels).value


def test_xauc_of_any_order_of_rows_is_the_same_in_every_bit() -> None:
    random = np.random.default_rng(0)
    predictions, labels, order = random.normal(size=5000).astype(np.float32), random.integers(0, 99, 5000), random.permutation(5000)
    assert xauc(predictions, labels) == xauc(predictions[order], labels[order])


def test_undefined_says_why() -> None:
    for metric in (mae, r2, xauc):
        assert metric([], []).to_json() == {"value": None, "reason": "no rows"}
        assert metric([1.0, 2.0], [1, 2], [0, 0]).to_json() == {"value": None, "reason": "no row has weight"}
    for metric in (r2, xauc):
        assert metric([1.0, 2.0], [5, 5]).to_json() == {"value": None, "reason": "all labels are equal"}
        assert metric([1.0, 2.0], [5, 6], [1, 0]).to_json() == {"value": None, "reason": "all labels are equal"}


@pytest.mark.parametrize("metric", [mae, r2, xauc])
@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([1.0, np.nan], [1, 2], "NaN .task `spend`"),
        ([1.0, np.inf], [1, 2], "1 of 2 rows"),
        ([1.0, np.inf], [1, np.inf], "1 of 2 rows"),
        ([1.0], [1, 2], "length"),
    ],
)
def test_faults_are_named(metric: Any, predictions: Any, labels: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        metric(predictions, labels, where="task `spend`")
