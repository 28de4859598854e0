"""Average precision against scikit-learn and by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from mtrec.evaluation.metrics.pr_auc import pr_auc

cases = settings(max_examples=100, deadline=None, derandomize=True, database=None)


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(2, 200),
    num_values=st.sampled_from([1, 3, 1000]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    weighted=st.booleans(),
)
def test_equals_scikit_learn(seed: int, num_rows: int, num_values: int, dtype: str, weighted: bool) -> None:
    random = np.random.default_rng(seed)
    scores = (np.round(random.normal(size=num_rows) * num_values) / num_values).astype(dtype)
    labels = random.integers(0, 2, num_rows).astype(np.int8)
    labels[0] = 1
    weights = random.choice([0.0, 0.3, 2.5], size=num_rows) if weighted else None
    if weights is not None:
        weights[0] = 1.7
    found = pr_auc(scores, labels, weights).value
    assert found == pytest.approx(average_precision_score(labels, scores.astype(np.float64), sample_weight=weights), abs=1e-12)


def test_by_hand() -> None:
    # Thresholds .8, .6, .4: recall 1/2, 1/2, 1 with precision 1, 1/2, 2/3.
    assert pr_auc([0.8, 0.4, 0.6, 0.2], [1, 1, 0, 0]).value == pytest.approx(0.5 + 0.5 * 2 / 3, abs=1e-15)
    assert pr_auc(np.full(1000, 0.3), np.arange(1000) < 70).value == pytest.approx(0.07, abs=1e-15)
    assert pr_auc([0.9, 0.1], [1, 0]).value == 1


@pytest.mark.parametrize(
    ("labels", "weights", "reason"),
    [([], None, "no rows"), ([0, 0], None, "no label is 1"), ([0, 1], [1, 0], "no label is 1, of the rows that have weight")],
)
def test_undefined_says_why(labels: list[int], weights: list[float] | None, reason: str) -> None:
    assert pr_auc(np.linspace(0, 1, len(labels)), labels, weights).to_json() == {"value": None, "reason": reason}


def test_no_negative_is_no_obstacle() -> None:
    assert pr_auc([0.2, 0.4], [1, 1]).value == 1
