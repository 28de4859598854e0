"""Group AUC against the AUC of each group by itself, and the traps that its four meanings set."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mtrec.errors import DataError
from mtrec.evaluation.metrics.gauc import Mean, gauc
from mtrec.evaluation.metrics.groups import group_ids

cases = settings(max_examples=80, deadline=None, derandomize=True, database=None)


def one_by_one(
    scores: NDArray[Any], labels: NDArray[Any], groups: NDArray[Any], weights: NDArray[Any] | None, mean: Mean
) -> tuple[float | None, float, float]:
    """Value, share of groups and share of impressions, group after group."""
    weight = np.ones(len(scores)) if weights is None else weights
    values, tops, rows_kept, num_groups = [], [], 0.0, 0
    for group in np.unique(groups[weight > 0]):
        mine = (groups == group) & (weight > 0)
        num_groups += 1
        if len(np.unique(labels[mine])) == 2:
            values.append(roc_auc_score(labels[mine], scores[mine].astype(np.float64), sample_weight=weight[mine]))
            tops.append({"impressions": weight[mine].sum(), "positives": weight[mine & (labels == 1)].sum(), "macro": 1.0}[mean])
            rows_kept += weight[mine].sum()
    return (float(np.average(values, weights=tops)) if values else None), len(values) / num_groups, rows_kept / weight.sum()


@cases
@given(
    seed=st.integers(0, 10**6),
    num_rows=st.integers(5, 300),
    num_groups=st.sampled_from([1, 3, 40]),
    spread=st.sampled_from([1, -(2**40)]),
    num_values=st.sampled_from([1, 4, 1000]),
    dtype=st.sampled_from(["float16", "float32", "float64"]),
    weighted=st.booleans(),
    mean=st.sampled_from(["impressions", "positives", "macro"]),
)
def test_equals_the_groups_one_by_one(
    seed: int, num_rows: int, num_groups: int, spread: int, num_values: int, dtype: str, weighted: bool, mean: Mean
) -> None:
    random = np.random.default_rng(seed)
    scores = (np.round(random.normal(size=num_rows) * num_values) / num_values).astype(dtype)
    labels = random.integers(0, 2, num_rows).astype(np.int8)
    groups = random.integers(0, num_groups, num_rows) * spread
    weights = random.choice([0.0, 0.5, 2.0], size=num_rows) if weighted else None
    if weights is not None:
        weights[0] = 1
    value, groups_kept, impressions_kept = one_by_one(scores, labels, groups, weights, mean)
    found = gauc(scores, labels, groups, weights, mean=mean)
    assert found.value == (None if value is None else pytest.approx(value, abs=1e-12))
    assert found.facts == pytest.approx({"groups_kept": groups_kept, "impressions_kept": impressions_kept}, abs=1e-12)


def test_one_class_groups_are_neither_half_nor_zero() -> None:
    scores, labels, groups = [0.1, 0.9, 0.5, 0.6, 0.7], [0, 1, 1, 1, 0], [0, 0, 1, 1, 2]
    assert gauc(scores, labels, groups).to_json() == {"value": 1.0, "groups_kept": pytest.approx(1 / 3), "impressions_kept": 0.4}


def test_the_means_differ() -> None:
    # Group 0: 4 rows, 1 positive, AUC 1. Group 1: 2 rows, 1 positive, AUC 0.
    scores, labels, groups = [0.9, 0.1, 0.2, 0.3, 0.1, 0.9], [1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 1, 1]
    values = {mean: gauc(scores, labels, groups, mean=mean).value for mean in ("impressions", "positives", "macro")}
    assert values == {"impressions": pytest.approx(4 / 6), "positives": 0.5, "macro": 0.5}
    assert gauc(scores, labels, groups, [1, 1, 1, 1, 3, 1], mean="positives").value == 0.25


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_order_of_rows_changes_no_bit(dtype: str) -> None:
    random = np.random.default_rng(3)
    scores, labels, groups = random.integers(0, 30, 20_000).astype(dtype), random.integers(0, 2, 20_000), random.integers(0, 900, 20_000)
    order = random.permutation(20_000)
    assert gauc(scores, labels, groups) == gauc(scores[order], labels[order], groups[order])


def test_a_score_that_is_constant_in_each_group_is_half() -> None:
    groups = np.arange(600) % 37
    found = gauc((groups / 37).astype(np.float16), np.arange(600) % 2, groups)
    assert found.value == 0.5


@pytest.mark.parametrize(
    ("labels", "weights", "reason"),
    [([], None, "no rows"), ([1, 1], None, "no group has both classes"), ([1, 0], [0, 0], "no rows"), ([1, 0], [1, 0], "no group has both classes")],
)
def test_undefined_says_why(labels: list[int], weights: list[float] | None, reason: str) -> None:
    found = gauc(np.linspace(0, 1, len(labels)), labels, np.zeros(len(labels), np.int64), weights)
    assert found.value is None and found.reason == reason


def test_groups_of_several_columns() -> None:
    users, days = np.array(["b", "a", "b", "b"]), np.array([3, 3, 4, 3])
    ids = group_ids([users, days])
    assert ids[0] == ids[3] and len(set(ids.tolist())) == 3 and ids.max() == 2
    assert group_ids([users]).tolist() == [1, 0, 1, 1]


@pytest.mark.parametrize(
    ("groups", "message"),
    [([0.5, 1.5], "groups cannot be read.*float64"), ([0], "groups have another length"), (["a", "b"], "Make them of the columns with `group_ids`")],
)
def test_faults_are_named(groups: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        gauc([0.1, 0.2], [0, 1], groups)
    with pytest.raises(DataError, match="one length"):
        group_ids([np.zeros(2), np.zeros(3)])
