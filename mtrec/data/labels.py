"""Labels of a log: null is unknown, a task given another is known where that one is 1, and nothing else gets in unseen."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtrec.errors import DataError
from mtrec.schema import Task

__all__ = ["LARGEST", "Labels", "floats", "read_labels", "some"]

# What is larger would be infinite once stored.
LARGEST = float(np.finfo(np.float32).max)


class Labels(NamedTuple):
    """Attributes: values [rows, T] float32, 0 where unknown; mask [rows, T] bool, True where known."""

    values: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]


def read_labels(table: pa.Table, tasks: dict[str, Task]) -> Labels:
    """The labels of all tasks, in their order.

    Raises:
        DataError: if a binary label is neither 0, 1 nor null, or a label is infinite.
    """
    columns = {name: _column(table, name, task) for name, task in tasks.items()}
    values = np.zeros((table.num_rows, len(tasks)), dtype=np.float32)
    mask = np.zeros(values.shape, dtype=np.bool_)
    for index, (name, task) in enumerate(tasks.items()):
        known = ~np.isnan(columns[name])
        given = task.given
        while given is not None:
            known &= columns[given] == 1.0
            given = tasks[given].given
        mask[:, index] = known
        values[known, index] = columns[name][known]
    return Labels(values, mask)


def _column(table: pa.Table, name: str, task: Task) -> npt.NDArray[np.float64]:
    values = floats(table, task.label.column)
    if task.label.at_least is not None:
        return np.where(np.isnan(values), np.nan, (values >= task.label.at_least).astype(np.float64))
    is_regression = task.kind == "regression"
    wrong = np.abs(values) > LARGEST if is_regression else ~(np.isnan(values) | (values == 0.0) | (values == 1.0))
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum())} labels of task {name!r} are out of range",
            where=task.label.column,
            found=some(values[wrong]),
            expected="finite numbers or null" if is_regression else "0, 1 or null",
            do="Clean the log." if is_regression else "Clean the log, or derive a label with {column: .., at_least: ..}.",
        )
    return values


def some(values: npt.NDArray[np.float64]) -> list[float]:
    """A few different ones of what is wrong, for messages."""
    return sorted(set(values[:1000].tolist()))[:5]


def floats(table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    """A column of numbers, NaN where null; a column that is null throughout has no type of its own. [rows]"""
    values = table[column]
    kinds = pa.types
    if not any(fits(values.type) for fits in (kinds.is_boolean, kinds.is_integer, kinds.is_floating, kinds.is_decimal, kinds.is_null)):
        raise DataError("A label or weight column holds no numbers", where=column, found=values.type)
    if kinds.is_boolean(values.type):
        values = values.cast(pa.int8())
    found: npt.NDArray[np.float64] = pc.fill_null(values.cast(pa.float64(), safe=False), float("nan")).to_numpy()
    return found
