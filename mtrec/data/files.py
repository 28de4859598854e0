"""The files of a log: found, opened, their columns read; Parquet or CSV, on disk or behind the URL of an Arrow file system."""

import contextlib
import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv
import pyarrow.fs
import pyarrow.parquet as pq

from mtrec.errors import DataError

__all__ = ["add_bytes", "csv_reader", "find_files", "is_csv", "naming", "open_bytes", "open_parquet", "read_schema", "read_table"]

# Arrow guesses the types of a CSV file from its first block: a large one guesses better.
_CSV_BLOCK = 2**24


@contextlib.contextmanager
def naming(file: object) -> Iterator[None]:
    """Turn what Arrow and the system say of a file into an error that names it."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        found = str(error).partition("\n")[0]
        raise DataError("The file is damaged or is not what its name says", where=file, found=found, do="Restore it, or leave it out.") from error


def find_files(source: str | list[str]) -> list[str]:
    """The files of a source: a file, directory, glob, URL of an Arrow file system, sorted; or a list of these, in its order. Each file comes once.

    In directories and globs, what starts with a dot or an underscore is left out, as writers mark their own files so.

    Raises:
        DataError: if nothing is there.
    """
    if isinstance(source, list):
        return list(dict.fromkeys(file for one in source for file in find_files(one)))
    with naming(source):
        files = sorted(_behind_url(source) if "://" in source else _on_disk(source))
    if not files:
        raise DataError("There is no log here", where=source, expected="a file, a directory, a glob, or a list of these", do="Set log.source.")
    return files


def _on_disk(source: str) -> list[str]:
    path = Path(source)
    if path.is_file():  # Before globs are tried: a name may hold brackets.
        return [source]
    if path.is_dir():
        return [str(file) for file in path.rglob("*") if file.is_file() and not _is_hidden(file.relative_to(path).as_posix())]
    return [file for file in glob.glob(source, recursive=True) if Path(file).is_file() and not _is_hidden(Path(file).name)]


def _behind_url(source: str) -> list[str]:
    filesystem, path = pa.fs.FileSystem.from_uri(source)
    kind = filesystem.get_file_info(path).type
    if kind != pa.fs.FileType.Directory:
        return [source] if kind == pa.fs.FileType.File else []
    # The options of the file system stand behind the question mark.
    scheme, options = source.partition("://")[0], source.partition("?")[2]
    inside = filesystem.get_file_info(pa.fs.FileSelector(path, recursive=True))
    files = [each.path for each in inside if each.type == pa.fs.FileType.File and not _is_hidden(each.path[len(path) :])]
    return [f"{scheme}://{quote(file)}" + (f"?{options}" if options else "") for file in files]


def _is_hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


def is_csv(file: str) -> bool:
    return file.partition("?")[0].lower().endswith((".csv", ".csv.gz", ".tsv", ".tsv.gz"))


def open_bytes(file: str) -> Any:
    """A stream of the bytes as they are stored."""
    if "://" in file:
        filesystem, path = pa.fs.FileSystem.from_uri(file)
        return filesystem.open_input_stream(path, compression=None)
    return open(file, "rb")


def add_bytes(digest: Any, file: str) -> None:
    """Take the bytes of a file into a running hash, and that it ends there."""
    with naming(file), open_bytes(file) as stream:
        while block := stream.read(2**22):
            digest.update(block)
    digest.update(b"|")


def open_parquet(file: str) -> pq.ParquetFile:
    """A Parquet file whose page checksums are verified, where it has any."""
    source: Any = file
    if "://" in file:
        filesystem, path = pa.fs.FileSystem.from_uri(file)
        source = filesystem.open_input_file(path)
    return pq.ParquetFile(source, page_checksum_verification=True)


def csv_reader(file: str, types: pa.Schema | None = None, columns: list[str] | None = None) -> pa.csv.CSVStreamingReader:
    """The blocks of a CSV file; its types are those of its first block, but for `types`. Empty fields, NA, NaN and null are null."""
    source: Any = file
    if "://" in file:
        filesystem, path = pa.fs.FileSystem.from_uri(file)
        source = filesystem.open_input_stream(path)  # Decompresses by the ending of the name, as Arrow does for files on disk.
    delimiter = "\t" if ".tsv" in Path(file).name.lower() else ","
    return pa.csv.open_csv(
        source,
        read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK),
        parse_options=pa.csv.ParseOptions(delimiter=delimiter),
        convert_options=pa.csv.ConvertOptions(column_types=types, include_columns=columns, strings_can_be_null=True),
    )


def read_schema(file: str) -> pa.Schema:
    """The columns of one file; the types of a CSV file are those of its first block.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    with naming(file):
        if is_csv(file):
            with csv_reader(file) as reader:
                return reader.schema
        with open_parquet(file) as parquet:
            return parquet.schema_arrow


def read_table(file: str) -> pa.Table:
    """All of one file."""
    with naming(file):
        if is_csv(file):
            with csv_reader(file) as reader:
                return reader.read_all()
        with open_parquet(file) as parquet:
            return parquet.read()
