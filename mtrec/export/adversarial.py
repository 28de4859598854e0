"""Rows that are hard to score, made from rows of a log: what serving meets sooner or later."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtrec.request import Input

__all__ = ["hard_variants"]


def hard_variants(rows: pa.Table, inputs: list[Input]) -> Iterator[tuple[str, pa.Table]]:
    """The rows themselves, then copies with nulls everywhere, nulls here and there, empty lists, and values that no training row has.

    Lists that stand side by side keep equal lengths. Columns that the model does not read stay as they are.
    """
    kinds = {each.column: each.kind for each in inputs}
    lists = [column for column, kind in kinds.items() if kind.endswith("_list")]
    everywhere = np.ones(len(rows), dtype=bool)
    yield "given", rows
    yield "null", _replaced(rows, {column: _with_nulls(rows.column(column), everywhere) for column in kinds})
    random = np.random.default_rng(0)
    in_lists = random.random(len(rows)) < 0.5
    masks = {column: in_lists if column in lists else random.random(len(rows)) < 0.5 for column in kinds}
    yield "partly null", _replaced(rows, {column: _with_nulls(rows.column(column), mask) for column, mask in masks.items()})
    if lists:
        yield "empty list", _replaced(rows, {column: _emptied(rows.column(column)) for column in lists})
    yield "unseen", _replaced(rows, {each.column: _unseen(rows.column(each.column), each.kind) for each in inputs})


def _replaced(rows: pa.Table, columns: dict[str, pa.Array]) -> pa.Table:
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def _with_nulls(column: pa.ChunkedArray, mask: np.ndarray) -> pa.ChunkedArray:
    # An index that is null takes a null: this works for every type.
    return column.take(pa.array(np.arange(len(column)), mask=mask))


def _emptied(column: pa.ChunkedArray) -> pa.Array:
    return pa.array([[]] * len(column), column.type if not pa.types.is_fixed_size_list(column.type) else pa.list_(column.type.value_type))


def _unseen(column: pa.ChunkedArray, kind: str) -> pa.Array:
    if kind == "number_list":  # aligned with a list whose lengths stay
        return column
    if not kind.endswith("_list"):
        return _unseen_values(len(column), kind)
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), _unseen_values(int(offsets[-1]), kind.removesuffix("_list")))


def _unseen_values(num_values: int, kind: str) -> pa.Array:
    counts = np.arange(num_values)
    if kind == "string":
        return pa.array([f"\N{SNOWMAN} unseen {count} \N{GRINNING FACE}" if count % 3 else "" for count in counts], pa.string())
    # Both ends of the range come first: they must not wrap around.
    if kind == "id":
        return pa.array(np.where(counts % 2, 2**63 - 1 - counts, -(2**63) + counts), pa.int64())
    return pa.array(np.where(counts % 2, 1e300, -1e300) / (1 + counts), pa.float64())
