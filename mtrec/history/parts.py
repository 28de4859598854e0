"""Tables cut by the hash of a column into files, and read back in groups: how a log larger than memory is computed by key.

A file holds Arrow streams one after the other, each marked with what it is a part of: nothing is kept open or held in memory. What is small never
reaches the disk.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
from numpy.typing import NDArray

__all__ = ["KeyParts", "append_table", "read_tables"]

_NUM_FILES = 256
ROWS_IN_MEMORY = 2**20


def append_table(path: Path, name: str, table: pa.Table) -> None:
    """Add a stream to a file."""
    with open(path, "ab") as sink, pa.ipc.new_stream(sink, table.schema.with_metadata({"part": name})) as writer:
        writer.write_table(table)


def read_tables(path: Path) -> Iterator[tuple[str, pa.Table]]:
    """The streams of a file, each with its name."""
    with pa.OSFile(str(path)) as source:
        while source.tell() < source.size():
            table = pa.ipc.open_stream(source).read_all()
            yield table.schema.metadata[b"part"].decode(), table.replace_schema_metadata()


class KeyParts:
    """Named tables cut by a column that all of them have; rows whose value is null belong to no key, and are left out.

    Args:
        folder: where files may be made. column: what is hashed.
    """

    def __init__(self, folder: Path, column: str) -> None:
        self._folder, self._column = folder, column
        self._waiting: list[tuple[str, pa.Table]] = []
        self._sizes = np.zeros(_NUM_FILES, dtype=np.int64)
        self._num_waiting = 0

    def add(self, name: str, table: pa.Table) -> None:
        self._waiting.append((name, table))
        self._num_waiting += table.num_rows
        if self._num_waiting > ROWS_IN_MEMORY:
            self._flush()

    def groups(self) -> Iterator[dict[str, pa.Table]]:
        """Tables by name, of whole keys, about `ROWS_IN_MEMORY` rows; each group once."""
        if not self._sizes.any():
            waiting, self._waiting = self._waiting, []
            yield _by_name((name, table.filter(table.column(self._column).is_valid())) for name, table in waiting)
            return
        self._flush()
        files: list[int] = []
        for file in range(_NUM_FILES):
            files.append(file)
            if file + 1 == _NUM_FILES or self._sizes[[*files, file + 1]].sum() > ROWS_IN_MEMORY:
                yield self._read(files)
                files = []

    def _read(self, files: list[int]) -> dict[str, pa.Table]:
        paths = [self._folder / f"{file}.arrow" for file in files if self._sizes[file]]
        found = _by_name(pair for path in paths for pair in read_tables(path))
        for path in paths:
            path.unlink()
        return found

    def _flush(self) -> None:
        self._folder.mkdir(exist_ok=True)
        for name, table in _by_name(self._waiting).items():
            known = table.filter(table.column(self._column).is_valid())
            place = _places(known.column(self._column))
            ordered, edges = known.take(pa.array(np.argsort(place, kind="stable"))), np.bincount(place, minlength=_NUM_FILES).cumsum()
            for file, (stop, size) in enumerate(zip(edges.tolist(), np.diff(edges, prepend=0).tolist(), strict=True)):
                if size:
                    append_table(self._folder / f"{file}.arrow", name, ordered.slice(stop - size, size))
            self._sizes += np.diff(edges, prepend=0)
        self._waiting, self._num_waiting = [], 0


def _places(column: pa.ChunkedArray) -> NDArray[np.uint8]:
    """The file of each value. [n]"""
    hashed = pl.Series(values=column).hash() if len(column) else pl.Series(values=[], dtype=pl.UInt64)
    return (hashed.to_numpy() >> np.uint64(56)).astype(np.uint8)


def _by_name(tables: Iterator[tuple[str, pa.Table]] | list[tuple[str, pa.Table]]) -> dict[str, pa.Table]:
    found: dict[str, list[pa.Table]] = {}
    for name, table in tables:
        found.setdefault(name, []).append(table)
    return {name: pa.concat_tables(several).combine_chunks() for name, several in found.items()}
