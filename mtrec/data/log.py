"""A log as it lies on disk: files of Parquet or CSV, read in slices of rows, with its joins.

The schema is checked over all files before the first row is read, and all faults are told at once.
"""

import hashlib
from collections.abc import Iterator, Sequence

import pyarrow as pa

from mtrec.data.files import add_bytes, csv_reader, find_files, is_csv, naming, open_parquet, read_schema
from mtrec.data.joined import Joined, key_type
from mtrec.errors import DataError
from mtrec.schema import Join

__all__ = ["LogFiles", "available_columns", "find_files", "read_schema"]

ROWS_PER_SLICE = 131_072


def available_columns(source: str | list[str], joins: Sequence[Join] = ()) -> pa.Schema:
    """All columns of the first file of a source, then those that its joins add; one that is null there throughout has its type from later files."""
    first, *others = find_files(source)
    own = {field.name: field.type for field in read_schema(first)}
    for file in others:
        if pa.null() not in own.values():
            break
        schema = read_schema(file)
        own |= {name: schema.field(name).type for name, kind in own.items() if kind == pa.null() and name in schema.names}
    joined = [(name, kind) for join in joins for name, kind in Joined(join).types.items()]
    return pa.schema([*own.items(), *((name, kind) for name, kind in dict(reversed(joined)).items() if name not in own)])


class LogFiles:
    """The rows of a log, in file order, in slices; only the columns that are asked for are decoded.

    A column that both the log and a join have is the log's. A column that is null throughout a file fits every type; CSV files, whose types
    are guessed from their values, may also differ as whole numbers and fractions do.

    Args:
        source: file, directory, glob, URL, or a list of these.
        needed: columns that must be there, in the log or in a join.
        joins: tables whose columns are added to each row.

    Raises:
        DataError: naming each missing column, and each file whose column has another type than in the files before.
    """

    def __init__(self, source: str | list[str], needed: Sequence[str], joins: Sequence[Join] = ()) -> None:
        self.files = find_files(source)
        self.needed = list(dict.fromkeys(needed))
        self._joins = [Joined(join) for join in joins]
        faults: list[str] = []
        schemas = {file: read_schema(file) for file in self.files}
        self._added = self._columns_of_joins(schemas[self.files[0]].names, faults)
        joined = {name for names in self._added for name in names}
        own = dict.fromkeys([*(name for name in self.needed if name not in joined), *(name for join in self._joins for name in join.on)])
        self._own = {name: _one_type(name, schemas, faults) for name in own}
        for join in self._joins:
            for name, kind in join.keys.items():
                if self._own[name] != pa.null() and key_type(self._own[name]) != kind:
                    faults.append(f"the key {name!r} is {kind} in the join of {join.files[0]}, in the log {self._own[name]}")
        if faults:
            raise DataError(f"The log does not fit its configuration: {'; '.join(faults)}", do="Mend the files, or the names in the configuration.")

    @property
    def schema(self) -> pa.Schema:
        """The needed columns with their types, joins included."""
        added = {name: join.types[name] for join, names in zip(self._joins, self._added, strict=True) for name in names}
        return pa.schema([(name, added[name] if name in added else self._own[name]) for name in self.needed])

    def digest(self) -> str:
        """SHA-256 over the bytes of all files and joined files."""
        total = hashlib.sha256()
        for file in [*self.files, *(file for join in self._joins for file in join.files)]:
            add_bytes(total, file)
        return total.hexdigest()

    def slices(self, rows: int | None = None) -> Iterator[pa.Table]:
        """Tables of at most `rows` rows with exactly the needed columns."""
        schema = self.schema
        for file in self.files:
            with naming(file):
                for batch in self._batches(file, rows or ROWS_PER_SLICE):
                    table = pa.Table.from_batches([batch])
                    for join, names in zip(self._joins, self._added, strict=True):
                        table = join.add(table, names)
                    yield table.select(self.needed).cast(schema)

    def _batches(self, file: str, rows: int) -> Iterator[pa.RecordBatch]:
        columns = list(self._own)
        if is_csv(file):
            with csv_reader(file, pa.schema(list(self._own.items())), columns) as reader:
                for block in reader:
                    for start in range(0, block.num_rows, rows):
                        yield block.slice(start, rows)
        else:
            with open_parquet(file) as parquet:
                yield from parquet.iter_batches(batch_size=rows, columns=columns)

    def _columns_of_joins(self, own: list[str], faults: list[str]) -> list[list[str]]:
        """For each join, the needed columns that it adds."""
        wanted = [name for name in self.needed if name not in own and not any(name in join.on for join in self._joins)]
        twice = [name for name in wanted if sum(name in join.types for join in self._joins) > 1]
        faults += [f"more than one join has a column {name!r}" for name in twice]
        return [[name for name in wanted if name in join.types] for join in self._joins]


def _one_type(name: str, schemas: dict[str, pa.Schema], faults: list[str]) -> pa.DataType:
    """The type of a column in all files; adds to the faults where there is none."""
    known, before = pa.null(), ""
    for file, schema in schemas.items():
        places = schema.get_all_field_indices(name)
        if len(places) != 1:
            faults.append(f"{file} has {len(places)} columns {name!r}" if places else f"{file} has no column {name!r}")
            continue
        found = schema.field(places[0]).type
        freedom = "permissive" if is_csv(file) and (not before or is_csv(before)) else "default"
        try:
            known = pa.unify_schemas([pa.schema([(name, known)]), pa.schema([(name, found)])], promote_options=freedom).field(0).type
            before = before or (file if found != pa.null() else "")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            faults.append(f"{file}: column {name!r} is {found}, in {before} {known}")
    return known
