"""Writing Parquet in row groups of one size, and in the order of a hash without holding all rows."""

import shutil
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

__all__ = ["ROW_GROUP", "HashOrder", "RowGroups"]

ROW_GROUP = 65_536
_ROWS_PER_BUCKET = 262_144
_MOST_BUCKETS = 256


class RowGroups:
    """A Parquet file whose row groups all hold `ROW_GROUP` rows but the last; no file appears if no row was added."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._num_waiting:
            self._write(pa.concat_tables(self._waiting))
        if self._writer is not None:
            self._writer.close()

    def add(self, table: pa.Table) -> None:
        if table.num_rows == 0:
            return
        self._waiting.append(table)
        self._num_waiting += table.num_rows
        if self._num_waiting >= ROW_GROUP:
            whole = pa.concat_tables(self._waiting)
            cut = whole.num_rows - whole.num_rows % ROW_GROUP
            self._write(whole.slice(0, cut))
            # A slice keeps its whole parent alive: copy what waits.
            rest = whole.slice(cut).combine_chunks()
            self._waiting, self._num_waiting = ([rest] if rest.num_rows else []), rest.num_rows

    def _write(self, table: pa.Table) -> None:
        if self._writer is None:
            ids = [name for name in table.column_names if name.startswith("i.")]
            self._writer = pq.ParquetWriter(
                self.path, table.schema, compression="zstd", compression_level=1, use_dictionary=ids, write_page_checksum=True, write_statistics=False
            )
        self._writer.write_table(table, row_group_size=ROW_GROUP)


class HashOrder:
    """A Parquet file in the order of a uniform hash: rows go to bucket files by their highest bits, then each bucket is sorted in memory."""

    def __init__(self, path: Path, num_rows: int) -> None:
        self.path = path
        self.num_buckets = max(1, min(_MOST_BUCKETS, -(-num_rows // _ROWS_PER_BUCKET)))
        self._folder = path.parent / f"{path.stem}.buckets"
        self._writers: dict[int, pa.ipc.RecordBatchFileWriter] = {}

    def __enter__(self) -> Self:
        self._folder.mkdir()
        return self

    def add(self, table: pa.Table, hashes: npt.NDArray[np.uint64]) -> None:
        order = np.argsort(hashes, kind="stable")
        ordered = table.take(order).append_column("hash", pa.array(hashes[order]))
        buckets = (hashes[order].astype(np.float64) / 2.0**64 * self.num_buckets).astype(np.int64).clip(max=self.num_buckets - 1)
        edges = np.searchsorted(buckets, np.arange(self.num_buckets + 1))
        for bucket in range(self.num_buckets):
            piece = ordered.slice(edges[bucket], edges[bucket + 1] - edges[bucket])
            if piece.num_rows:
                if bucket not in self._writers:
                    self._writers[bucket] = pa.ipc.new_file(self._folder / f"{bucket}.arrow", ordered.schema)
                self._writers[bucket].write_table(piece)

    def __exit__(self, kind: object, *_: object) -> None:
        for writer in self._writers.values():
            writer.close()
        if kind is None:
            with RowGroups(self.path) as out:
                for bucket in sorted(self._writers):
                    with pa.memory_map(str(self._folder / f"{bucket}.arrow")) as source:
                        rows = pa.ipc.open_file(source).read_all()
                        out.add(rows.sort_by("hash").drop_columns("hash"))
        shutil.rmtree(self._folder, ignore_errors=True)
