"""Which columns of a log a configuration reads, and the slices of a log read as rows of plain numbers."""

from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.data.slices import Slice
from mtrec.features.columns import Raw, column_types, read_columns
from mtrec.features.feature_set import FeatureSet
from mtrec.features.tables import IdTable
from mtrec.hash64 import hash_array, is_text
from mtrec.inspection.rows import Rows
from mtrec.schema import Features

__all__ = ["IdSource", "Inputs", "Values", "is_declared"]


class IdSource(NamedTuple):
    """An id feature: the columns that it is read from, the embedding table it looks up in, and how its values and their lengths are read."""

    name: str
    columns: tuple[str, ...]
    is_list: bool
    table: str
    raw: Callable[[Raw], tuple[pa.Array, NDArray[np.int64]]]


class Values(NamedTuple):
    """The values of an id feature, one row after the other: their hashes, and how many each row has, [n]."""

    hashes: NDArray[np.int64]
    lengths: NDArray[np.int64]


def is_declared(column: str, declared: Iterable[str]) -> bool:
    """Whether a column is one of a declared history or counter, which is computed from strictly earlier events."""
    return any(column.startswith(f"{name}.") for name in declared)


class Inputs:
    """The inputs of the model, the labels and the roles among the columns of a log.

    Columns of declared histories and counters that the log does not hold are passed over.

    Attributes:
        types: by column, as features know them.
        numbers: columns of numbers.
        ids: the id features, and the ids by which vectors are found.
        roles: time, user and item, those that the log has a column for.
        absent: roles whose column the log lacks.

    Raises:
        DataError: naming every feature that does not fit the columns.
    """

    def __init__(self, config: Config, schema: pa.Schema) -> None:
        self.types, self.tasks = column_types(schema), list(config.tasks)
        present = _present(config.features, list(config.history), self.types)
        self.features = FeatureSet.build(present, config.candidates(self.types))
        tables = [cast(IdTable, table) for table in self.features.tables]
        readers = [partial(table.raw, index=index) for table in tables for index in range(len(table.columns))]
        self.ids = [
            IdSource(feature.name, feature.columns, feature.kind in ("multi", "sequence"), feature.table, reader)
            for feature, reader in zip(self.features.id_inputs, readers, strict=True)
            if feature.value_type != "number"  # Numbers cut into ranges are numbers here; lists of them stand beside another list.
        ]
        named_ids = {source.name for source in self.ids}
        for column in dict.fromkeys(vector.column for vector in self.features.vector_inputs if vector.column not in named_ids):
            self.ids.append(IdSource(column, (column,), False, f"vectors of {column}", partial(_values_of, column)))
        buckets = [feature.columns[0] for feature in self.features.id_inputs if feature.kind == "buckets"]
        self.numbers = list(dict.fromkeys([*self.features.number_columns, *buckets]))
        roles = {"time": config.log.roles.time, "user": config.log.roles.user, "item": config.log.roles.item}
        named = {role: column for role, column in roles.items() if column is not None}
        self.absent = {role: column for role, column in named.items() if column not in self.types}
        self.roles = {role: column for role, column in named.items() if column in self.types}
        if "time" in self.roles and not _is_time(schema.field(self.roles["time"]).type):
            del self.roles["time"]
        self.columns = list(dict.fromkeys([*self.features.input_columns, *config.columns_beside_features(), *self.roles.values()]))

    def read(self, part: Slice) -> tuple[Rows, dict[str, Values]]:
        """The rows of a slice, infinite numbers as they are; and all values of each id feature."""
        table = part.table
        raw = read_columns(table, self.features.inputs(), strict=False)
        values: dict[str, Values] = {}
        ids, newest, lengths = {}, {}, {}
        for source in self.ids:
            array, number = source.raw(raw)
            found = values[source.name] = Values(_hash(array), number)
            last = np.zeros(table.num_rows, dtype=np.int64)
            last[number > 0] = found.hashes[np.cumsum(number)[number > 0] - 1]
            if source.is_list:
                newest[source.name], lengths[source.name] = last, number.astype(np.float64)
            else:
                ids[source.name] = last
        known = np.where(part.labels.mask, part.labels.values.astype(np.float64), np.nan)
        roles = {role: _instants(table[name]) if role == "time" else _hashed(table[name]) for role, name in self.roles.items()}
        labels = dict(zip(self.tasks, known.T, strict=True))
        return Rows({name: raw.numbers[name] for name in self.numbers}, lengths, ids, newest, labels, {**roles, "place": part.row}), values


def _values_of(column: str, raw: Raw) -> tuple[pa.Array, NDArray[np.int64]]:
    return raw.values[column]


def _present(features: Features, declared: list[str], types: Mapping[str, str]) -> Features:
    """The features without those of declared histories and counters that the log has no column of."""
    lacking = [name for name in declared if not any(is_declared(column, [name]) for column in types)]

    def is_there(column: str) -> bool:
        return not is_declared(column, lacking)

    def matches(pattern: str) -> bool:
        globbing = any(sign in pattern for sign in "*?[")
        return any(fnmatchcase(name, pattern) for name in types) if lacking and globbing else is_there(pattern)

    ids = [each for each in features.ids if all(is_there(column) for column in ([each.column] if each.column else each.cross))]
    numbers = [each for each in features.numbers if matches(each.column)]
    sequences = [each for each in features.sequences if is_there(each.source)]
    return features.model_copy(update={"ids": ids, "numbers": numbers, "sequences": sequences})


def _is_time(kind: pa.DataType) -> bool:
    kinds = pa.types
    return bool(kinds.is_timestamp(kind) or kinds.is_date(kind) or kinds.is_integer(kind) or kinds.is_floating(kind))


def _instants(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Times as they are stored, in the unit of the column, NaN where null. [rows]"""
    if pa.types.is_date32(column.type):
        column = column.cast(pa.int32())
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.int64())
    found: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return found


def _hashed(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """A hash of each value, 0 where null; equal values of any type of whole number, or of text, have one hash. [rows]"""
    array = column.unify_dictionaries().combine_chunks()
    plain = array if pa.types.is_integer(array.type) else array.cast(pa.large_string())
    valid = plain.is_valid().to_numpy(zero_copy_only=False)
    found = np.zeros(len(plain), dtype=np.int64)
    found[valid] = _hash(plain.drop_null())
    return found


def _hash(array: pa.Array) -> NDArray[np.int64]:
    """Of whole numbers or text without nulls; each text is hashed once."""
    return hash_array(array.dictionary_encode() if is_text(array.type) and not pa.types.is_dictionary(array.type) else array)
