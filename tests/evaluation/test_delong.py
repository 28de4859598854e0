"""The difference of two AUCs against a published example, the definition by pairs, and the bootstrap."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtrec.errors import DataError
from mtrec.evaluation.metrics.auc import auc
from mtrec.evaluation.metrics.delong import auc_difference

cases = settings(max_examples=80, deadline=None, derandomize=True, database=None)

# The 43 complete rows of DeLong, DeLong and Clarke-Pearson 1988: albumin, total protein, K-G score (low is good), 1 where surgery did not help.
ROWS = """
3.0 5.8 10 0  3.2 6.3 5 1  3.9 6.8 3 1  2.8 4.8 6 0  3.2 5.8 3 1  0.9 4.0 5 0  2.5 5.7 8 0  1.6 5.6 5 1  3.8 5.7 5 1  3.7 6.7 6 1  3.2 5.4 4 1
3.8 6.6 6 1  4.1 6.6 5 1  3.6 5.7 5 1  4.3 7.0 4 1  3.6 6.7 4 0  2.3 4.4 6 1  4.2 7.6 4 0  4.0 6.6 6 0  3.5 5.8 6 1  3.8 6.8 7 1  3.0 4.7 8 0
4.5 7.4 5 1  3.7 7.4 5 1  3.1 6.6 6 1  4.1 8.2 6 1  4.3 7.0 5 1  4.3 6.5 4 1  3.2 5.1 5 1  2.6 4.7 6 1  3.3 6.8 6 0  1.7 4.0 7 0  3.7 6.1 5 1
3.3 6.3 7 1  4.2 7.7 6 1  3.5 6.2 5 1  2.9 5.7 9 0  2.1 4.8 7 1  2.8 6.2 8 0  4.0 7.0 7 1  3.3 5.7 6 1  3.7 6.9 5 1  3.6 6.6 5 1
"""
ALBUMIN, PROTEIN, SCORE, LABEL = np.array(ROWS.split(), dtype=float).reshape(-1, 4).T


def by_pairs(a: Any, b: Any, labels: Any) -> tuple[float, float]:
    """The difference and its standard error from the definition."""
    wins = [(s[labels == 1][:, None] > s[labels == 0]) + 0.5 * (s[labels == 1][:, None] == s[labels == 0]) for s in (a, b)]
    d = wins[0] - wins[1]
    return float(d.mean()), math.sqrt(d.mean(1).var(ddof=1) / d.shape[0] + d.mean(0).var(ddof=1) / d.shape[1])


def test_the_published_example() -> None:
    # Areas and contrasts that statistics packages give for these data, to the digits that they print.
    for values, area, error in ((ALBUMIN, 0.7366, 0.0927), (-SCORE, 0.7258, 0.1028), (PROTEIN, 0.6478, 0.1000)):
        found = auc(values, LABEL)
        assert found.value is not None and found.high is not None
        assert found.value == pytest.approx(area, abs=5e-5)
        assert (found.high - found.value) / 1.959964 == pytest.approx(error, abs=5e-5)
    for values, difference, error, chi_square in ((ALBUMIN, 0.0108, 0.0953, 0.0127), (PROTEIN, -0.0780, 0.1046, 0.5554)):
        contrast = auc_difference(values, -SCORE, LABEL)
        assert contrast.value is not None and contrast.error is not None
        assert (contrast.value, contrast.error) == pytest.approx((difference, error), abs=5e-5)
        assert (contrast.value / contrast.error) ** 2 == pytest.approx(chi_square, abs=5e-5)


@cases
@given(
    seed=st.integers(0, 10**6), num_rows=st.integers(4, 150), num_values=st.sampled_from([1, 4, 1000]), dtype=st.sampled_from(["float16", "float32"])
)
def test_equals_the_definition(seed: int, num_rows: int, num_values: int, dtype: str) -> None:
    random = np.random.default_rng(seed)
    labels = np.arange(num_rows) % 2
    a, b = ((np.round((random.normal(size=num_rows) + labels) * num_values) / num_values).astype(dtype) for _ in range(2))
    found, (value, error) = auc_difference(a, b, labels), by_pairs(a, b, labels)
    assert [found.value, found.error] == pytest.approx([value, error], abs=1e-12)


def test_the_error_is_what_the_bootstrap_says() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(400) % 2
    common = random.normal(size=400) + labels
    a, b = common + random.normal(size=400) / 2, common + random.normal(size=400)
    picks = (random.integers(0, 400, 400) for _ in range(600))
    draws = [auc_difference(a[pick], b[pick], labels[pick]).value for pick in picks]
    assert auc_difference(a, b, labels).error == pytest.approx(np.std(np.array(draws, dtype=float)), rel=0.12)


def test_the_same_order_differs_by_exactly_nothing() -> None:
    random = np.random.default_rng(1)
    scores, labels = random.random(5000).astype(np.float32), random.integers(0, 2, 5000)
    assert auc_difference(scores, scores, labels) == auc_difference(scores, scores.astype(float) * 7 - 3, labels) == (0.0, 0.0, None)


def test_undefined_says_why_and_faults_are_named() -> None:
    assert auc_difference([], [], []) == (None, None, "no rows")
    assert auc_difference([1, 2], [1, 2], [1, 1]) == (None, None, "one class: no label is 0")
    assert auc_difference([1, 2, 3], [3, 2, 1], [0, 0, 1]) == (1.0, None, None)
    with pytest.raises(DataError, match="different numbers of rows"):
        auc_difference([1, 2], [1], [0, 1])
