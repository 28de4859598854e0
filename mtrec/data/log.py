"""A log as it lies on disk: files of Parquet or CSV, read in slices of rows, with its joins.

The schema is checked over all files before the first row is read, and all faults are told at once.
"""

import glob
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet as pq

from mtrec.errors import DataError
from mtrec.schema import Join

__all__ = ["LogFiles", "available_columns", "find_files", "read_schema"]

ROWS_PER_SLICE = 131_072
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def find_files(source: str | list[str]) -> list[str]:
    """The files of a source in sorted order: a file, directory, glob, list of these, or the URL of an Arrow file system.

    Raises:
        DataError: if nothing is there.
    """
    if isinstance(source, list):
        return [file for one in source for file in find_files(one)]
    if "://" in source:
        filesystem, path = pa.fs.FileSystem.from_uri(source)
        info = filesystem.get_file_info(path)
        if info.type == pa.fs.FileType.Directory:
            inside = filesystem.get_file_info(pa.fs.FileSelector(path, recursive=True))
            found = [f"{source.split('://')[0]}://{entry.path}" for entry in inside if entry.type == pa.fs.FileType.File]
        else:
            found = [source] if info.type == pa.fs.FileType.File else []
    elif Path(source).is_dir():
        found = [str(path) for path in Path(source).rglob("*") if path.is_file()]
    else:
        found = [path for path in glob.glob(source, recursive=True) if Path(path).is_file()]
    files = sorted(file for file in found if not Path(file).name.startswith((".", "_")))
    if not files:
        raise DataError("There is no log here", where=source, expected="a file, a directory, a glob, or a list of these", do="Set log.source.")
    return files


def _open(file: str) -> Any:
    if "://" in file:
        filesystem, path = pa.fs.FileSystem.from_uri(file)
        return filesystem.open_input_file(path)
    return file


def _open_stream(file: str) -> Any:
    if "://" in file:
        filesystem, path = pa.fs.FileSystem.from_uri(file)
        return filesystem.open_input_stream(path, compression=None)
    return open(file, "rb")


def _is_csv(file: str) -> bool:
    return file.lower().endswith(_CSV)


def _csv_reader(file: str, types: pa.Schema | None, columns: list[str] | None) -> pa.csv.CSVStreamingReader:
    delimiter = "\t" if ".tsv" in file.lower() else ","
    convert = pa.csv.ConvertOptions(column_types=types, include_columns=columns, strings_can_be_null=True)
    return pa.csv.open_csv(_open(file), parse_options=pa.csv.ParseOptions(delimiter=delimiter), convert_options=convert)


def read_schema(file: str) -> pa.Schema:
    """The columns of one file. The types of a CSV file are those of its first block."""
    try:
        if _is_csv(file):
            return _csv_reader(file, None, None).schema
        return pq.read_schema(_open(file))
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError("The file cannot be read", where=file, found=str(error).splitlines()[0], do="Restore it, or leave it out.") from error


def available_columns(source: str | list[str], joins: Sequence[Join] = ()) -> pa.Schema:
    """All columns of the first file of a source and of its joins."""
    own = read_schema(find_files(source)[0])
    joined = {name: kind for join in joins for name, kind in _Joined(join).types.items()}
    return pa.schema([*own, *((name, kind) for name, kind in joined.items() if name not in own.names)])


class LogFiles:
    """The rows of a log, in file order, in slices; only the columns that are asked for are decoded.

    Args:
        source: file, directory, glob, URL, or a list of these.
        needed: columns that must be there, in the log or in a join.
        joins: tables whose columns are added to each row.

    Raises:
        DataError: naming each missing column, and each file whose column has another type than in the first file.
    """

    def __init__(self, source: str | list[str], needed: Sequence[str], joins: Sequence[Join] = ()) -> None:
        self.files = find_files(source)
        self.needed = list(dict.fromkeys(needed))
        self._joins = [_Joined(join) for join in joins]
        self._own: dict[str, pa.DataType] = {}
        self._check()

    @property
    def schema(self) -> pa.Schema:
        """The needed columns with their types, joins included."""
        types = {**{name: kind for join in self._joins for name, kind in join.types.items()}, **self._own}
        return pa.schema([(name, types[name]) for name in self.needed])

    def digest(self) -> str:
        """SHA-256 over the bytes of all files and joined files."""
        total = hashlib.sha256()
        for file in [*self.files, *(file for join in self._joins for file in join.files)]:
            with _open_stream(file) as stream:
                while block := stream.read(2**22):
                    total.update(block)
            total.update(b"|")
        return total.hexdigest()

    def slices(self, rows: int = ROWS_PER_SLICE) -> Iterator[pa.Table]:
        """Tables of at most `rows` rows with exactly the needed columns."""
        own = [name for name in self._own if name in self.needed or any(name in join.on for join in self._joins)]
        for file in self.files:
            try:
                for batch in self._batches(file, own, rows):
                    table = pa.Table.from_batches([batch])
                    for join in self._joins:
                        table = join.add(table)
                    yield table.select(self.needed).cast(self.schema)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OSError) as error:
                first = str(error).splitlines()[0]
                raise DataError("The file is damaged or is not what its name says", where=file, found=first, do="Restore it, or leave it out.") from error

    def _batches(self, file: str, columns: list[str], rows: int) -> Iterator[pa.RecordBatch]:
        if _is_csv(file):
            for block in _csv_reader(file, pa.schema(list(self._own.items())), columns):
                for start in range(0, block.num_rows, rows):
                    yield block.slice(start, rows)
        else:
            with pq.ParquetFile(_open(file), page_checksum_verification=True) as parquet:
                yield from parquet.iter_batches(batch_size=rows, columns=columns)

    def _check(self) -> None:
        faults: list[str] = []
        joined = {name for join in self._joins for name in join.types}
        wanted = {name for name in self.needed if name not in joined} | {name for join in self._joins for name in join.on}
        for file in self.files:
            schema = read_schema(file)
            for name in sorted(wanted):
                if name not in schema.names:
                    faults.append(f"{file} has no column {name!r}")
                elif name not in self._own:
                    self._own[name] = schema.field(name).type
                elif schema.field(name).type != self._own[name] and not _is_csv(file):
                    faults.append(f"{file}: column {name!r} is {schema.field(name).type}, in the first file {self._own[name]}")
        if faults:
            raise DataError(f"The log does not fit its configuration: {'; '.join(faults)}", do="Mend the files, or the names in the configuration.")


class _Joined:
    """A small table held in memory whose columns are added by key."""

    def __init__(self, join: Join) -> None:
        self.on = list(join.on)
        self.files = find_files(join.source)
        tables = [pa.csv.read_csv(_open(f)) if _is_csv(f) else pq.read_table(_open(f), page_checksum_verification=True) for f in self.files]
        frame = pl.concat([pl.from_arrow(table) for table in tables])  # type: ignore[type-var]
        assert isinstance(frame, pl.DataFrame)
        missing = [name for name in self.on if name not in frame.columns]
        if missing:
            raise DataError("A join lacks its key", where=join.source, found=frame.columns, expected=missing)
        twice = frame.select(self.on).is_duplicated().sum()
        if twice:
            raise DataError("The key of a join is not unique", where=join.source, found=f"{twice} rows whose {', '.join(self.on)} occurs again")
        self._frame = frame
        self.types = {field.name: field.type for field in frame.to_arrow().schema if field.name not in self.on}

    def add(self, table: pa.Table) -> pa.Table:
        left = pl.from_arrow(table)
        assert isinstance(left, pl.DataFrame)
        return left.join(self._frame, on=self.on, how="left", maintain_order="left").to_arrow()
