"""Labels and weights: what is known, what is refused."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mtrec.data.labels import read_labels
from mtrec.errors import DataError
from mtrec.schema import Task

NAN, INF = float("nan"), float("inf")


def known(tasks: dict[str, Any], **columns: Any) -> list[list[float | None]]:
    """The labels of each row, None where unknown."""
    labels = read_labels(pa.table(columns), {name: Task.model_validate(task) for name, task in tasks.items()})
    assert labels.values.dtype == np.float32 and not labels.values[~labels.mask].any()
    rows = zip(labels.values.tolist(), labels.mask.tolist(), strict=True)
    return [[value if flag else None for value, flag in zip(*row, strict=True)] for row in rows]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.0, None, NAN, 0.0]),
        pa.array([1, None, None, 0], pa.int8()),
        pa.array([True, None, None, False]),
        pa.array([Decimal("1.0"), None, None, Decimal("0.0")]),
    ],
)
def test_null_and_nan_are_unknown(column: pa.Array) -> None:
    assert known({"click": {"label": "c"}}, c=column) == [[1.0], [None], [None], [0.0]]


def test_a_column_that_is_null_throughout_is_unknown_throughout() -> None:
    assert known({"click": {"label": "c"}}, c=pa.nulls(2)) == [[None], [None]]


@pytest.mark.parametrize(("column", "count", "odd"), [([0, 2, 0, 2, 1], 2, r"\[2\.0\]"), ([0.5, INF, -1.0], 3, r"\[-1\.0, 0\.5, inf\]")])
def test_other_values_of_a_binary_label_are_counted_and_shown(column: list[float], count: int, odd: str) -> None:
    with pytest.raises(DataError, match=rf"{count} labels of task 'click' are out of range \(c\)\. Found: {odd}\. Expected: 0, 1 or null"):
        known({"click": {"label": "c"}}, c=column)


@pytest.mark.parametrize("value", [INF, -INF, 1e39, -1e300])
def test_an_infinite_number_is_refused_also_one_that_would_become_so(value: float) -> None:
    with pytest.raises(DataError, match="1 labels of task 'spend'.*finite"):
        known({"spend": {"label": "c", "kind": "regression"}}, c=[1.0, value, None])


def test_numbers_are_kept_as_they_are() -> None:
    found = known({"spend": {"label": "c", "kind": "regression"}}, c=[2**60 + 1, -3, None])
    assert found == [[2.0**60], [-3.0], [None]]


def test_a_threshold_makes_a_label() -> None:
    tasks = {"watch": {"label": {"column": "c", "at_least": 30}}}
    assert known(tasks, c=[29.9, 30.0, INF, None, NAN]) == [[0.0], [1.0], [1.0], [None], [None]]


def test_a_task_is_known_where_all_that_it_is_given_are_one() -> None:
    tasks = {
        "pay": {"label": "p", "given": "buy", "kind": "regression"},
        "buy": {"label": "b", "given": "click"},
        "click": {"label": "c"},
    }
    found = known(tasks, p=[5.0, 5.0, 5.0, 5.0, None], b=[1, 1, 0, None, 1], c=[1, 0, 1, 1, 1])
    assert found == [[5.0, 1.0, 1.0], [None, None, 0.0], [None, 0.0, 1.0], [None, None, 1.0], [None, 1.0, 1.0]]


def test_an_unknown_condition_makes_unknown() -> None:
    assert known({"click": {"label": "c"}, "buy": {"label": "b", "given": "click"}}, c=[None], b=[1]) == [[None, None]]


def test_text_is_no_label() -> None:
    with pytest.raises(DataError, match=r"holds no numbers \(c\)\. Found: string"):
        known({"click": {"label": "c"}}, c=["1"])
