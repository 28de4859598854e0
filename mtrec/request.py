"""From rows as people have them to what an artifact is called with: torch alone, and pyarrow only for those who bring tables.

Shapes: B rows.
"""

import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from mtrec.errors import DataError

__all__ = ["KINDS", "Input", "Request", "Rows", "is_pandas", "pandas_to_arrow", "whole_of_floats"]

KINDS = ("number", "id", "string", "id_list", "string_list", "number_list")
_EXACT_FLOAT = 2.0**53
_INT64 = range(-(2**63), 2**63)

# numbers, ids and strings by column, as `forward` of an artifact takes them.
Request = tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor]], dict[str, tuple[list[str], Tensor]]]


class Input(NamedTuple):
    """A column that an artifact reads: its `kind` is one of `KINDS`, and a number_list is aligned with another list column."""

    column: str
    kind: str
    aligned_to: str | None = None


class _Column(NamedTuple):
    """The values of all rows one after the other, how many each row has [B] int64, and which of the values are not null [sum] bool."""

    values: Any
    lengths: Tensor
    kept: Tensor


# Reads `count` rows from row `start` of a column.
_Reader = Callable[[Input, int, int], _Column]


class Rows:
    """Rows to be scored, in any of the forms that `Artifact.predict` takes.

    Raises:
        DataError: naming the columns that are missing, there twice, or of unequal length.
    """

    def __init__(self, rows: Any, inputs: list[Input]) -> None:
        self.inputs = sorted(inputs, key=lambda each: each.aligned_to is not None)  # lists before what is aligned with them
        self._read, self.num_rows = _open(rows, list(dict.fromkeys(each.column for each in inputs)))

    def request(self, start: int = 0, count: int | None = None) -> Request:
        """The call for `count` rows from row `start` on; all by default.

        Raises:
            DataError: naming the column whose values its kind cannot hold, or whose lists are not as long as those that they belong to.
        """
        request: Request = ({}, {}, {})
        numbers, ids, strings = request
        columns: dict[str, _Column] = {}
        for each in self.inputs:
            column = self._read(each, start, self.num_rows - start if count is None else count)
            if each.kind == "number":
                numbers[each.column] = column.values
                continue
            if each.aligned_to is not None:
                main = columns[each.aligned_to]
                if not torch.equal(main.lengths, column.lengths):
                    raise DataError("Lists that stand side by side differ in length", where=f"`{each.column}` and `{each.aligned_to}`")
                column = column._replace(kept=main.kept)
            columns[each.column] = column
            values, lengths = _without_nulls(column)
            if each.kind.startswith("string"):
                strings[each.column] = (values, lengths)
            else:
                ids[each.column] = (values, lengths)
        return request


def is_pandas(rows: Any) -> bool:
    """Whether rows are a pandas DataFrame; without importing pandas, which whoever made one has done."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(rows, pandas.DataFrame)


def _open(rows: Any, wanted: list[str]) -> tuple[_Reader, int]:
    """How to read the columns, and the number of rows."""
    if hasattr(rows, "to_arrow"):
        rows = rows.to_arrow()
    if isinstance(rows, Mapping):
        names = list(rows)
    elif hasattr(rows, "to_pydict"):
        names = list(rows.schema.names)
    elif is_pandas(rows):
        names = list(rows.columns)
    else:
        raise DataError("Rows of this type cannot be read", found=type(rows), expected="a DataFrame, an Arrow table, or {column: list}")
    missing = [f"`{name}`" for name in wanted if name not in names]
    if missing:
        raise DataError("The rows lack columns that the model reads", found=f"no {', '.join(missing)}", expected=wanted)
    twice = [f"`{name}`" for name in wanted if names.count(name) > 1]
    if twice:
        raise DataError("The rows have columns twice", found=", ".join(twice), do="Rename or drop one of each.")
    if isinstance(rows, Mapping):
        return _from_lists({name: _as_list(rows[name], name) for name in wanted})
    loose = is_pandas(rows)
    table = pandas_to_arrow(rows[wanted]) if loose else rows
    columns = {name: table.column(name) for name in wanted}
    return (lambda each, start, count: _arrow_column(columns[each.column].slice(start, count), each, loose)), table.num_rows


def _without_nulls(column: _Column) -> tuple[Any, Tensor]:
    values, lengths, kept = column
    if bool(kept.all()):
        return values, lengths
    row_of_value = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    lengths = torch.bincount(row_of_value[kept], minlength=len(lengths))
    if isinstance(values, list):
        return [value for value, keep in zip(values, kept.tolist(), strict=True) if keep], lengths
    return values[kept], lengths


def _from_lists(columns: dict[str, list[Any]]) -> tuple[_Reader, int]:
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        raise DataError("The columns are of unequal length", found=", ".join(f"`{name}` {count}" for name, count in counts.items()))
    return (lambda each, start, count: _python_column(columns[each.column][start : start + count], each)), next(iter(counts.values()), 0)


def _as_list(values: Any, name: str) -> list[Any]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise DataError(f"The values of column `{name}` are not a list", found=type(values), expected="a list with one cell a row")
    return list(values)


def _python_column(cells: list[Any], each: Input) -> _Column:
    if each.kind == "number":
        values = torch.tensor([_number(value, each) for value in cells], dtype=torch.float64)
        return _Column(values, torch.ones(len(cells), dtype=torch.int64), torch.ones(len(cells), dtype=torch.bool))
    if each.kind.endswith("_list"):
        lists = [[] if _is_null(cell) else _as_list(cell, each.column) for cell in cells]
    else:
        lists = [[] if _is_null(cell) else [cell] for cell in cells]
    flat = [value for values in lists for value in values]
    lengths = torch.tensor([len(values) for values in lists], dtype=torch.int64)
    if each.kind == "number_list":
        numbers = torch.tensor([_number(value, each) for value in flat], dtype=torch.float64)
        return _Column(numbers, lengths, torch.ones(len(flat), dtype=torch.bool))
    kept = torch.tensor([not _is_null(value) for value in flat], dtype=torch.bool)
    if each.kind.startswith("string"):
        return _Column([None if _is_null(value) else _text(value, each) for value in flat], lengths, kept)
    return _Column(torch.tensor([0 if _is_null(value) else _whole(value, each) for value in flat], dtype=torch.int64), lengths, kept)


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _number(value: Any, each: Input) -> float:
    if value is None:
        return float("nan")
    try:
        return float(value + 0)  # text cannot be added to
    except (TypeError, ValueError, OverflowError):
        _refuse(value, each)


def _whole(value: Any, each: Input) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_FLOAT:
        return int(value)
    if not hasattr(value, "__index__") or int(value) not in _INT64:
        _refuse(value, each)
    return int(value)


def _text(value: Any, each: Input) -> str:
    if not isinstance(value, str):
        _refuse(value, each)
    return value


def _refuse(value: Any, each: Input) -> NoReturn:
    expected = {"number": "a number", "id": "a whole number of 64 bits", "string": "text"}[each.kind.removesuffix("_list")]
    found = f"{value!r} ({type(value).__name__})"
    raise DataError(f"A value of column `{each.column}` does not fit", found=found, expected=f"{expected}, or null")


def pandas_to_arrow(frame: Any) -> Any:
    """The columns of a DataFrame as an Arrow table, without its index."""
    import pyarrow as pa

    try:
        return pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, OverflowError, ValueError) as error:
        raise DataError("A column of the DataFrame holds values of several types", found=error, expected="one type a column") from error


def _arrow_column(column: Any, each: Input, loose: bool) -> _Column:
    """One column of an Arrow table; `loose` takes whole floats for ids, since pandas makes floats of whole numbers with nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = torch.ones(len(array), dtype=torch.int64)
    is_list, kind = each.kind.endswith("_list"), each.kind.removesuffix("_list")
    try:
        if is_list:
            array = array.cast(pa.list_(pa.null())) if pa.types.is_null(array.type) else array
            lengths = _to_tensor(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()))
            array = pc.list_flatten(array)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if loose and kind == "id" and pa.types.is_floating(array.type):
            array = whole_of_floats(array)
        if not _fits(array.type, kind):
            raise pa.ArrowInvalid(f"values of type {array.type}")
        if kind == "number":
            return _Column(_to_tensor(array.cast(pa.float64(), safe=False)), lengths, torch.ones(len(array), dtype=torch.bool))
        kept = _to_tensor(array.is_valid())
        if not is_list:  # a null among single values is a row without any
            array, lengths, kept = array.drop_null(), kept.to(torch.int64), kept[kept]
        values = array.cast(pa.large_string()).to_pylist() if kind == "string" else _to_tensor(pc.fill_null(array.cast(pa.int64()), 0))
    except pa.ArrowException as error:
        raise DataError(f"Column `{each.column}` cannot be read as {each.kind}", found=f"type {column.type}, {error}") from error
    return _Column(values, lengths, kept)


def _fits(arrow_type: Any, kind: str) -> bool:
    from pyarrow import types

    fitting = [types.is_integer, types.is_boolean, types.is_null]
    if kind == "string":
        fitting = [types.is_string, types.is_large_string, types.is_string_view, types.is_null]
    if kind == "number":
        fitting += [types.is_floating, types.is_decimal]
    return any(fits(arrow_type) for fits in fitting)


def whole_of_floats(array: Any) -> Any:
    """Whole numbers that pandas keeps as floats because some are null, as what they are; beyond 2^53 they are not exact, and refused."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if not pc.all(pc.less_equal(pc.abs(array), _EXACT_FLOAT), min_count=0).as_py():
        raise pa.ArrowInvalid("floats beyond 2^53 may stand for other ids, keep them as whole numbers (Int64)")
    return array.cast(pa.int64())  # refuses fractions


def _to_tensor(array: Any) -> Tensor:
    return torch.tensor(array.to_numpy(zero_copy_only=False))  # a copy, since Arrow's own memory is read-only
