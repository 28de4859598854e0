"""What the columns of a log look like in its first rows: types, values, and the words of their names."""

import re
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mtrec.data.log import LogFiles, find_files, read_schema
from mtrec.errors import DataError
from mtrec.hash64 import is_text

__all__ = ["Column", "Kind", "columns_of", "happens_only_where", "kind_of", "read_sample"]

ROWS = 200_000
_FEW = 20

Kind = Literal["time", "int", "number", "text", "int_list", "text_list", "number_list", "other"]


class Column(NamedTuple):
    """Attributes: known, how many rows have a value; distinct, how many values differ, 0 for lists; binary, whether all are 0 or 1."""

    name: str
    kind: Kind
    type: str
    rows: int
    known: int
    distinct: int
    binary: bool
    middle: float  # The median of whole numbers, else 0.
    long_text: bool

    @property
    def words(self) -> list[str]:
        """The words of the name in lower case: `userId` and `user_id` are both user, id."""
        return re.findall(r"[a-z]+|\d+", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", self.name).lower())

    @property
    def is_key(self) -> bool:
        """Whether each row has another value, of a kind that could name the row."""
        return self.kind in ("int", "text") and self.known == self.rows >= 20 and self.distinct == self.rows


def read_sample(source: str | list[str]) -> pa.Table:
    """The first rows of a log, with all columns of its first file.

    Raises:
        DataError: if there is no row, or the files do not fit together.
    """
    names = read_schema(find_files(source)[0]).names
    if not names:
        raise DataError("The log has no columns", where=source)
    tables: list[pa.Table] = []
    for table in LogFiles(source, names).slices():
        tables.append(table)
        if sum(len(each) for each in tables) >= ROWS:
            break
    if not sum(len(each) for each in tables):
        raise DataError("The log has no rows", where=source)
    return pa.concat_tables(tables).slice(0, ROWS)


def columns_of(sample: pa.Table) -> list[Column]:
    """The columns of a sample, in their order."""
    return [_column(name, sample.column(index)) for index, name in enumerate(sample.column_names)]


def happens_only_where(sample: pa.Table, column: str, label: str) -> bool:
    """Whether a column has a value other than 0 only in rows where a label is 1, as what comes after the outcome has; few values say nothing."""
    values = sample.column(column)
    some = pc.is_valid(values)
    if kind_of(values.type) in ("int", "number") and not pa.types.is_dictionary(values.type):
        some = pc.and_(some, pc.fill_null(pc.not_equal(_as_floats(values), 0.0), False))
    positive = pc.fill_null(pc.equal(_as_floats(sample.column(label)), 1.0), False)
    return int(pc.sum(some).as_py()) >= _FEW and not pc.any(pc.and_not(some, positive)).as_py()


def _as_floats(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return (values.cast(pa.int8()) if pa.types.is_boolean(values.type) else values).cast(pa.float64(), safe=False)


def kind_of(arrow_type: pa.DataType) -> Kind:
    """What a column can serve as; truth values count as whole numbers.

    >>> kind_of(pa.list_(pa.int64())), kind_of(pa.date32()), kind_of(pa.bool_()), kind_of(pa.binary())
    ('int_list', 'time', 'int', 'other')
    """
    kinds = pa.types
    if kinds.is_list(arrow_type) or kinds.is_large_list(arrow_type) or kinds.is_fixed_size_list(arrow_type):
        lists: dict[str, Kind] = {"int": "int_list", "text": "text_list", "number": "number_list"}
        return lists.get(kind_of(arrow_type.value_type), "other")
    if is_text(arrow_type):
        return "text"
    plain = arrow_type.value_type if kinds.is_dictionary(arrow_type) else arrow_type
    if kinds.is_timestamp(plain) or kinds.is_date(plain):
        return "time"
    if kinds.is_integer(plain) or kinds.is_boolean(plain):
        return "int"
    return "number" if kinds.is_floating(plain) or kinds.is_decimal(plain) else "other"


def _column(name: str, values: pa.ChunkedArray) -> Column:
    kind = kind_of(values.type)
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    known, distinct, binary, middle, long_text = len(values) - values.null_count, 0, False, 0.0, False
    if kind in ("time", "int", "number", "text"):
        distinct = pc.count_distinct(values).as_py()
    if kind in ("int", "number") and known:
        numbers = _as_floats(values)
        binary = pc.all(pc.is_in(numbers.drop_null(), value_set=pa.array([0.0, 1.0]))).as_py()
        middle = float(pc.approximate_median(numbers).as_py()) if kind == "int" else 0.0
    if kind == "text" and known:
        long_text = pc.mean(pc.utf8_length(values)).as_py() > 64
    return Column(name, kind, str(values.type), len(values), known, distinct, binary, middle, long_text)
