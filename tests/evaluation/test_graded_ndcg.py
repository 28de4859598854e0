import itertools

import numpy as np
import pytest

from mtrec.errors import DataError
from mtrec.evaluation.metrics.graded_ndcg import graded_ndcg
from mtrec.evaluation.metrics.top_k import ndcg


def naive(scores: np.ndarray, gains: np.ndarray, k: int) -> float:
    """The mean over all orders of one group that the scores allow."""

    def discounted(order: tuple[int, ...]) -> float:
        return sum(gains[row] / np.log2(place + 2) for place, row in enumerate(order[:k]))

    orders = [order for order in itertools.permutations(range(len(scores))) if all(np.diff(scores[list(order)]) <= 0)]
    return float(np.mean([discounted(order) for order in orders]) / discounted(tuple(np.argsort(-gains))))


@pytest.mark.parametrize("k", [1, 3, 10])
def test_of_labels_it_is_ndcg(k: int) -> None:
    random = np.random.default_rng(0)
    scores, labels, groups = random.integers(0, 6, 600).astype(np.float32), random.random(600) < 0.2, random.integers(0, 50, 600)
    found, expected = graded_ndcg(scores, labels, groups, k), ndcg(scores, labels, groups, k)
    assert found.value == pytest.approx(expected.value, rel=1e-12) and found.facts == expected.facts


def test_ties_are_all_their_orders() -> None:
    random = np.random.default_rng(1)
    parts = [(random.integers(0, 3, 6).astype(np.float32), random.random(6) * 5) for _ in range(8)]
    for k in (2, 4, 10):
        expected = np.mean([naive(scores, gains, k) for scores, gains in parts])
        scores, gains = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        shuffled = random.permutation(48)
        found = graded_ndcg(scores[shuffled], gains[shuffled], np.repeat(np.arange(8), 6)[shuffled] - 4, k)
        assert found.value == pytest.approx(expected, rel=1e-12)


def test_where_it_is_undefined() -> None:
    nothing = np.zeros(0)
    assert graded_ndcg(nothing, nothing, nothing).reason == "no rows"
    assert graded_ndcg([1.0, 2.0], [0.0, 0.0], [0, 0]).reason == "no group has a gain"
    assert graded_ndcg([1.0, 2.0], [1.0, -1.0], [0, 0]).reason == "some gains are below 0"
    found = graded_ndcg([1.0, 2.0, 3.0], [0.0, 0.0, 2.0], [7, 7, 9])
    assert found.value == 1.0 and found.facts == {"groups_kept": 0.5}
    with pytest.raises(DataError):
        graded_ndcg([1.0, float("nan")], [1.0, 1.0], [0, 0])
