"""The AUC against scikit-learn, against the definition by pairs, and where it has no value."""

import warnings
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mtrec.errors import DataError
from mtrec.evaluation.metrics import tallies as module
from mtrec.evaluation.metrics.auc import auc
from mtrec.evaluation.metrics.tallies import tallies

cases = settings(max_examples=150, deadline=None, derandomize=True, database=None)


def by_pairs(scores: NDArray[Any], labels: NDArray[Any]) -> tuple[float, float]:
    """AUC and its DeLong variance from the definition, every pair of rows looked at."""
    positive, negative = scores[labels == 1].astype(float), scores[labels == 0].astype(float)
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    variance = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    return float(wins.mean()), float(variance)


def rows(seed: int, num_rows: int, num_values: int, dtype: str, offset: float = 0.0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Scores with ties, signs and both zeros, and labels that lean on them."""
    random = np.random.default_rng(seed)
    scores = (np.round(random.normal(size=num_rows) * num_values) / num_values + offset).astype(dtype)
    labels = (scores + random.normal(size=num_rows) > offset).astype(np.int8)
    labels[:4] = [0, 1, 0, 1]
    return scores, labels


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(4, 300),
    num_values=st.sampled_from([1, 3, 1000]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    offset=st.sampled_from([0.0, 10.0, -10.0]),
    weighted=st.booleans(),
    block=st.sampled_from([1, 7, 1 << 16]),
)
def test_equals_scikit_learn(seed: int, num_rows: int, num_values: int, dtype: str, offset: float, weighted: bool, block: int) -> None:
    scores, labels = rows(seed, num_rows, num_values, dtype, offset)
    weights = np.random.default_rng(seed).choice([0.0, 0.3, 2.5], size=num_rows) if weighted else None
    if weights is not None:
        weights[:2] = 1.7
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", block)
        found = auc(scores, labels, weights)
    assert found.value == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12)
    assert found.reason is None


@cases
@given(scores=st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=40), seed=st.integers(0, 10**6))
def test_any_float32_is_ordered_as_it_is(scores: list[float], seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(len(scores)) % 2
    values = np.array(scores, dtype=np.float32)
    pairs = [(a > b) + 0.5 * (a == b) for a, b in product(values[labels == 1], values[labels == 0])]
    assert auc(values, labels).value == pytest.approx(np.mean(pairs), abs=1e-12)


def test_both_zeros_are_one_score() -> None:
    assert auc(np.array([-0.0, 0.0], np.float32), [1, 0]).value == 0.5
    assert auc(np.array([0.0, -0.0, -1.0], np.float32), [0, 1, 0]).value == 0.75


@cases
@given(seed=st.integers(0, 10**6), num_values=st.sampled_from([1, 5, 1000]), dtype=st.sampled_from(["float32", "float64"]))
def test_interval_is_delongs(seed: int, num_values: int, dtype: str) -> None:
    scores, labels = rows(seed, 60, num_values, dtype)
    value, variance = by_pairs(scores, labels)
    found = auc(scores, labels)
    assert found.value == pytest.approx(value, abs=1e-12)
    if value in (0.0, 1.0):
        assert found.low is None and found.high is None
    else:
        half = 1.959963984540054 * variance**0.5
        assert (found.low, found.high) == pytest.approx((max(value - half, 0), min(value + half, 1)), abs=1e-9)


def test_interval_by_hand() -> None:
    # Positives .8 .4, negatives .6 .2: V10 = 1, .5 and V01 = .5, 1, so S10 = S01 = .125 and Var = .125 / 2 + .125 / 2.
    found = auc([0.8, 0.4, 0.6, 0.2], [1, 1, 0, 0])
    assert found.value == 0.75
    assert found.low == pytest.approx(0.75 - 1.959963984540054 * 0.125**0.5)
    assert found.high == 1.0  # clipped


def test_interval_is_as_wide_as_the_bootstrap_says() -> None:
    scores, labels = rows(3, 400, 1000, "float32")
    random = np.random.default_rng(0)
    picks = (random.integers(0, 400, 400) for _ in range(600))
    values = np.array([auc(scores[pick], labels[pick]).value for pick in picks], dtype=float)
    found = auc(scores, labels)
    assert found.low is not None and found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * values.std(), rel=0.12)


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    truth, num_covered = 0.7602499389065233, 0  # Phi(1 / sqrt 2) for normals one standard deviation apart
    for _ in range(400):
        labels = np.arange(200) % 2
        found = auc(random.normal(size=200) + labels, labels)
        assert found.low is not None and found.high is not None
        num_covered += found.low <= truth <= found.high
    assert 0.92 <= num_covered / 400 <= 0.98


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_order_of_rows_changes_no_bit(dtype: str) -> None:
    scores, labels = rows(5, 200_000, 50, dtype)
    order = np.random.default_rng(2).permutation(len(scores))
    assert auc(scores, labels) == auc(scores[order], labels[order]) == auc(scores[::-1], labels[::-1])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float16", "float32", "float64"])
def test_labels_of_any_type(dtype: str) -> None:
    scores, labels = rows(6, 100, 10, "float32")
    assert auc(scores, labels.astype(dtype)) == auc(scores, labels)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", ">f4"])
def test_scores_of_other_types(dtype: str) -> None:
    scores = np.array([3, 1, 2, 2]).astype(dtype)
    assert auc(scores, [1, 0, 1, 0]).value == 0.875


def test_constant_scorer_is_half_of_a_guess() -> None:
    found = auc(np.full(1000, 0.3, np.float32), np.arange(1000) % 7 == 0)
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("scores", "value"), [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], 0.0)])
def test_perfect_order_has_no_interval(scores: list[int], value: float) -> None:
    assert auc(scores, [0, 0, 1, 1]).to_json() == {"value": value}


def test_one_row_of_a_class_has_no_interval() -> None:
    assert auc([0.1, 0.3, 0.2], [0, 0, 1]).to_json() == {"value": 0.5}


@pytest.mark.parametrize(
    ("labels", "weights", "reason"),
    [
        ([], None, "no rows"),
        ([1, 1], None, "one class: no label is 0"),
        ([0, 0, 0], [1, 2, 3], "one class: no label is 1"),
        ([0, 1], [1, 0], "one class: no label is 1, of the rows that have weight"),
        ([0, 1], [0, 0], "one class: no label is 1, of the rows that have weight"),
    ],
)
def test_undefined_says_why(labels: list[int], weights: list[float] | None, reason: str) -> None:
    assert auc(np.linspace(0, 1, len(labels)), labels, weights).to_json() == {"value": None, "reason": reason}


def test_scikit_learn_finds_no_value_there_either() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.isnan(roc_auc_score([1, 1], [0.1, 0.2]))


def test_equal_weights_are_none_and_no_weight_is_no_row() -> None:
    scores, labels = rows(7, 300, 20, "float32")
    assert auc(scores, labels, np.full(300, 0.1, np.float32)) == auc(scores, labels)
    kept = np.arange(300) < 200
    assert auc(scores, labels, kept) == auc(scores[kept], labels[kept])


def test_weights_by_hand() -> None:
    # Pairs won: (.8, .6) 2 * 1, (.8, .2) 2 * 3, (.4, .2) 5 * 3 of (2 + 5) * (1 + 3).
    found = auc([0.8, 0.4, 0.6, 0.2], [1, 1, 0, 0], [2, 5, 1, 3])
    assert found.to_json() == {"value": pytest.approx(23 / 28, abs=1e-15)}


def test_perfect_order_with_weights_is_not_above_one() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        labels = np.arange(999) >= 300
        assert auc(np.arange(999), labels, random.random(999)).value == pytest.approx(1, abs=1e-12)
        value = auc(np.arange(999), labels, random.random(999)).value
        assert value is not None and value <= 1


@pytest.mark.parametrize(
    ("scores", "labels", "weights", "message"),
    [
        ([0.1, float("nan"), float("nan")], [0, 1, 1], None, "scores are NaN .task `buy`.. Found: 2 of 3"),
        ([0.1, 0.2, 0.3], [0, 1, 2], None, "neither 0 nor 1 .task `buy`.. Found: 2 in one of 1 such rows of 3"),
        ([0.1, 0.2, 0.3], [0, 0.5, 0.5], None, "Found: 0.5 in one of 2 such rows"),
        ([0.1, 0.2, 0.3], [0, 1, float("nan")], None, "labels are NaN"),
        ([0.1, 0.2, 0.3], ["0", "1", "1"], None, "labels cannot be read"),
        ([[0.1, 0.2]], [0, 1], None, r"scores cannot be read .* \[1, 2\]"),
        ([0.1, 0.2, 0.3], [0, 1], None, "labels have another length .* Found: 2. Expected: 3"),
        ([0.1, 0.2], [0, 1], [1], "weights have another length"),
        ([0.1, 0.2], [0, 1], [1, -1], "negative or infinite .* Found: 1 of 2"),
        ([0.1, 0.2], [0, 1], [1, float("inf")], "negative or infinite"),
        ([0.1, 0.2], [0, 1], [1, float("nan")], "weights are NaN"),
    ],
)
def test_faults_are_named(scores: Any, labels: Any, weights: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        auc(scores, labels, weights, where="task `buy`")


def test_inputs_are_left_alone() -> None:
    scores, labels = rows(8, 100, 10, "float32")
    before = scores.copy(), labels.copy()
    auc(scores, labels)
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(labels, before[1])


def test_tallies_count_each_distinct_score_once() -> None:
    scores, labels = rows(9, 500, 3, "float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BLOCK", 10)
        blocks = list(tallies(scores, labels == 1))
    values = np.unique(scores)
    positives, negatives = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    assert positives.tolist() == [int((labels[scores == value] == 1).sum()) for value in values]
    assert negatives.tolist() == [int((labels[scores == value] == 0).sum()) for value in values]
