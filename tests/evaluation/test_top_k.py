"""NDCG and recall at k against scikit-learn and against the mean over all orders of tied rows."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score

from mtrec.evaluation.metrics.top_k import ndcg, recall

cases = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def over_all_orders(scores: Any, labels: Any, k: int) -> tuple[float, float]:
    """NDCG and recall of one group as means over every order that its scores allow."""
    discount = 1 / np.log2(np.arange(len(labels)) + 2)
    discount[k:] = 0
    best = np.sort(labels)[::-1] @ discount
    found = [
        (labels[list(order)] @ discount / best, labels[list(order)][:k].sum() / labels.sum())
        for order in permutations(range(len(labels)))
        if (np.diff(scores[list(order)]) <= 0).all()
    ]
    return tuple(np.mean(found, axis=0))


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(2, 60),
    num_values=st.sampled_from([1, 3, 1000]),
    k=st.sampled_from([1, 5, 100]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
)
def test_ndcg_equals_scikit_learn(seed: int, num_rows: int, num_values: int, k: int, dtype: str) -> None:
    random = np.random.default_rng(seed)
    scores = (np.round(random.normal(size=(3, num_rows)) * num_values) / num_values).astype(dtype)
    labels = random.integers(0, 2, (3, num_rows)).astype(np.int8)
    labels[:, 0] = 1
    groups = np.repeat([5, 1, 9], num_rows)
    order = random.permutation(3 * num_rows)
    found = ndcg(scores.ravel()[order], labels.ravel()[order], groups[order], k)
    assert found.value == pytest.approx(ndcg_score(labels, scores.astype(np.float64), k=k), abs=1e-12)


@cases
@given(seed=st.integers(0, 10**6), num_values=st.sampled_from([1, 2, 5]), k=st.integers(1, 6))
def test_ties_count_as_all_their_orders_on_average(seed: int, num_values: int, k: int) -> None:
    random = np.random.default_rng(seed)
    scores, labels = random.integers(0, num_values, 6), random.integers(0, 2, 6)
    labels[0] = 1
    expected = over_all_orders(scores, labels, k)
    groups = np.zeros(6, np.int64)
    assert (ndcg(scores, labels, groups, k).value, recall(scores, labels, groups, k).value) == pytest.approx(expected, abs=1e-12)


def test_by_hand() -> None:
    # Group 0: the positive is second of two. Group 1: two of three positives among the first two. Group 2 has no positive.
    scores, labels, groups = [0.9, 0.1, 0.9, 0.8, 0.7, 0.5], [0, 1, 1, 1, 1, 0], [0, 0, 1, 1, 1, 2]
    assert ndcg(scores, labels, groups, 2).to_json() == {"value": pytest.approx((1 / np.log2(3) + 1) / 2), "groups_kept": pytest.approx(2 / 3)}
    assert recall(scores, labels, groups, 2).value == pytest.approx((1 + 2 / 3) / 2)
    assert recall(scores, labels, groups, 1).value == pytest.approx((0 + 1 / 3) / 2)


@pytest.mark.parametrize("metric", [ndcg, recall])
def test_undefined_says_why(metric: Any) -> None:
    assert metric([], [], []).to_json() == {"value": None, "reason": "no rows"}
    assert metric([0.1, 0.2], [0, 0], [0, 0]).to_json() == {"value": None, "reason": "no group has a positive", "groups_kept": 0.0}
