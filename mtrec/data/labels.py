"""Labels of a log: null is unknown, a task given another is known where that one is 1, and nothing else gets in unseen."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mtrec.errors import DataError
from mtrec.schema import Task

__all__ = ["Labels", "read_labels", "read_weights"]


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


def read_weights(table: pa.Table, column: str | None) -> npt.NDArray[np.float32]:
    """The weight of each row; 1 without a weight column. [rows]"""
    if column is None:
        return np.ones(table.num_rows, dtype=np.float32)
    weights = _floats(table, column)
    bad = int((~(np.isfinite(weights) & (weights >= 0))).sum())
    if bad:
        raise DataError(f"{bad} rows have no usable weight", where=column, expected="finite numbers of at least 0")
    return weights.astype(np.float32)


def _column(table: pa.Table, name: str, task: Task) -> npt.NDArray[np.float64]:
    values = _floats(table, task.label.column)
    if task.label.at_least is not None:
        return np.where(np.isnan(values), np.nan, (values >= task.label.at_least).astype(np.float64))
    wrong = np.isinf(values) if task.kind == "regression" else ~(np.isnan(values) | (values == 0.0) | (values == 1.0))
    if wrong.any():
        odd = sorted(set(values[wrong][:1000].tolist()))[:5]
        expected = "finite numbers or null" if task.kind == "regression" else "0, 1 or null"
        do = "Clean the log, or derive a label with {column: .., at_least: ..}."
        raise DataError(f"{int(wrong.sum())} labels of task {name!r} are out of range", where=task.label.column, found=odd, expected=expected, do=do)
    return values


def _floats(table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    values = table[column]
    if not (pa.types.is_boolean(values.type) or pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_decimal(values.type)):
        raise DataError("A label or weight column holds no numbers", where=column, found=values.type)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    found: npt.NDArray[np.float64] = pc.fill_null(values.cast(pa.float64()), float("nan")).to_numpy()
    return found
