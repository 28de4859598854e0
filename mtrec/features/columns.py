"""From Arrow columns to plain values and lengths: the one reading of nulls, types and lists, for training and for tests of the artifact."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.errors import DataError
from mtrec.features.inputs import Input, InputKind
from mtrec.hash64 import is_text

__all__ = ["Raw", "column_type", "column_types", "read_columns"]

# The types of columns that an input can be read from; a column that is null throughout fits every one.
FITTING = {
    "number": ("int", "number"),
    "id": ("int",),
    "string": ("string",),
    "id_list": ("int_list",),
    "string_list": ("string_list",),
    "number_list": ("int_list", "number_list"),
}


class Raw(NamedTuple):
    """The columns of n rows without nulls.

    Attributes:
        numbers: by column, [n] float64, NaN where null.
        values: by column of ids: the values of all rows one after the other (Arrow int64 or text, for lists of numbers float64 with NaN for
            null), and the number of values of each row, [n] int64; 0 where null.
    """

    num_rows: int
    numbers: dict[str, NDArray[np.float64]]
    values: dict[str, tuple[pa.Array, NDArray[np.int64]]]


class Dropped(NamedTuple):
    """What was dropped from the lists of a column: their lengths before, and which of the values were kept."""

    lengths: NDArray[np.int64]
    kept: NDArray[np.bool_]


def column_types(schema: pa.Schema) -> dict[str, str]:
    """The type of each column as features know it: int, string, number, or int_list, string_list, number_list.

    A column of an Arrow type that no feature can read has the text of that type, as in "timestamp[ms]"; `FeatureSet.build` names it where a
    feature asks for it.

    >>> column_types(pa.schema({"price": pa.float32(), "tags": pa.list_(pa.string()), "on_sale": pa.bool_(), "ts": pa.timestamp("ms")}))
    {'price': 'number', 'tags': 'string_list', 'on_sale': 'int', 'ts': 'timestamp[ms]'}
    """
    return {field.name: column_type(field.type) for field in schema}


def column_type(arrow_type: pa.DataType) -> str:
    """The type of one column, as in `column_types`."""
    kinds = pa.types
    if kinds.is_list(arrow_type) or kinds.is_large_list(arrow_type) or kinds.is_fixed_size_list(arrow_type):
        inner = column_type(arrow_type.value_type)
        return f"{inner}_list" if inner in ("int", "string", "number") else str(arrow_type)
    if is_text(arrow_type):
        return "string"
    plain = arrow_type.value_type if kinds.is_dictionary(arrow_type) else arrow_type
    if kinds.is_integer(plain) or kinds.is_boolean(plain):
        return "int"
    if kinds.is_floating(plain) or kinds.is_decimal(plain):
        return "number"
    return str(arrow_type)


def read_columns(rows: pa.Table | pa.RecordBatch, inputs: Iterable[Input], strict: bool) -> Raw:
    """Read the inputs of a model from the rows of a log.

    Nulls inside a list are dropped, and what is aligned with them.

    Raises:
        DataError: naming all columns that are missing, of another type, or not aligned; with `strict` those with infinite numbers too.
    """
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    raw = Raw(table.num_rows, {}, {})
    faults: list[str] = []
    dropped: dict[str, Dropped] = {}
    for column, kind, aligned_to in sorted(inputs, key=lambda each: each.aligned_to is not None):  # lists before what is aligned with them
        if table.schema.get_field_index(column) < 0:
            faults.append(f"column `{column}` is missing, or there twice")
            continue
        array = table.column(column)
        found = column_type(array.type)
        if pa.types.is_null(array.type):
            array = pa.chunked_array([pa.nulls(len(array), _arrow_type(kind))])
        elif found not in FITTING[kind]:
            faults.append(f"column `{column}` is of type {array.type}, but is read as {kind}")
            continue
        try:
            if kind == "number":
                raw.numbers[column] = _floats(array)
            elif kind in ("id", "string"):
                raw.values[column] = _single(array)
            elif aligned_to is None:
                values, lengths, dropped[column] = _lists(array)
                raw.values[column] = (values, lengths)
            elif aligned_to in dropped:
                raw.values[column] = _aligned(array, dropped[aligned_to])
        except (pa.ArrowInvalid, ValueError) as error:
            faults.append(f"column `{column}`: {error}")
    if strict:
        faults += _infinite(raw)
    if faults:
        raise DataError("The columns do not fit the features", found="; ".join(faults), do="Correct the log, or the features of the configuration.")
    return raw


def _single(array: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    values = _plain(_combined(array))
    return values.drop_null(), values.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)


def _lists(array: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64], Dropped]:
    lists = _combined(array)
    lengths = _list_lengths(lists)
    values = _plain(pc.list_flatten(lists))
    kept = values.is_valid().to_numpy(zero_copy_only=False)
    return values.drop_null(), _kept_lengths(lengths, kept), Dropped(lengths, kept)


def _aligned(array: pa.ChunkedArray, dropped: Dropped) -> tuple[pa.Array, NDArray[np.int64]]:
    lists = _combined(array)
    lengths = _list_lengths(lists)
    num_different = int((lengths != dropped.lengths).sum())
    if num_different:
        raise ValueError(f"{num_different} of its lists differ in length from those that they are aligned with")
    values = _floats(pa.chunked_array([pc.list_flatten(lists)]))
    return pa.array(values[dropped.kept]), _kept_lengths(lengths, dropped.kept)


def _list_lengths(lists: pa.Array) -> NDArray[np.int64]:
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    return np.asarray(lengths.to_numpy(zero_copy_only=False), dtype=np.int64)


def _kept_lengths(lengths: NDArray[np.int64], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    if kept.all():
        return lengths
    rows = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(rows[kept], minlength=len(lengths)).astype(np.int64)


def _plain(array: pa.Array) -> pa.Array:
    """Whole numbers as int64, text as large_string or as a dictionary without nulls in it."""
    if is_text(array.type):
        return array if pa.types.is_dictionary(array.type) and array.dictionary.null_count == 0 else array.cast(pa.large_string())
    return array.cast(pa.int64())


def _floats(array: pa.ChunkedArray) -> NDArray[np.float64]:
    floats: NDArray[Any] = array.cast(pa.float64(), safe=False).to_numpy()
    return np.array(floats, dtype=np.float64)  # a copy, since Arrow's own memory is read-only


def _combined(array: pa.ChunkedArray) -> pa.Array:
    return array.unify_dictionaries().combine_chunks()


def _infinite(raw: Raw) -> list[str]:
    lists = {name: values.to_numpy(zero_copy_only=False) for name, (values, _) in raw.values.items() if pa.types.is_floating(values.type)}
    counts = {name: int(np.isinf(values).sum()) for name, values in (raw.numbers | lists).items()}
    return [f"column `{name}` has {count} infinite numbers" for name, count in counts.items() if count]


def _arrow_type(kind: InputKind) -> pa.DataType:
    inner = {"number": pa.float64(), "id": pa.int64(), "string": pa.large_string()}[kind.removesuffix("_list")]
    return pa.list_(inner) if kind.endswith("_list") else inner
