"""Records in the order of time, from runs that are each sorted: how all events of a log are gone through in bounded memory."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
from numpy.typing import NDArray

__all__ = ["TimeRuns"]

ROWS_PER_RUN = 2**20
_BATCHES_PER_RUN = 16


class TimeRuns:
    """Records with a column `time`, in any order.

    Args:
        folder: where files may be made. schema: that of the records.
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema
        self._waiting: list[pa.Table] = []
        self._num_waiting = 0
        self._firsts: list[NDArray[np.int64]] = []  # of each batch of each run, and the last time of the run

    def add(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._num_waiting += table.num_rows
        if self._num_waiting > ROWS_PER_RUN:
            self._flush()

    def ranges(self) -> Iterator[tuple[pa.Table, int | None]]:
        """All records in pieces, and for each the time that all later ones have reached; None for the last."""
        if not self._firsts:
            yield pa.concat_tables([self._schema.empty_table(), *self._waiting]).combine_chunks(), None
            return
        self._flush()
        firsts = np.sort(np.concatenate([times[:-1] for times in self._firsts]))
        edges = [-(2**63), *np.unique(firsts[_BATCHES_PER_RUN::_BATCHES_PER_RUN]).tolist(), 2**63 - 1]
        for low, high in pairwise(edges):
            pieces = [piece for run in range(len(self._firsts)) for piece in self._between(run, low, high)]
            yield pa.concat_tables([self._schema.empty_table(), *pieces]).combine_chunks(), (None if high == edges[-1] else high)

    def _between(self, run: int, low: int, high: int) -> Iterator[pa.Table]:
        times = self._firsts[run]
        with pa.OSFile(str(self._folder / f"run-{run}.arrow")) as source, pa.ipc.open_file(source) as reader:
            for number, (first, last) in enumerate(zip(times[:-1].tolist(), times[1:].tolist(), strict=True)):
                if first < high and last >= low:
                    batch = pa.Table.from_batches([reader.get_batch(number)])
                    inside = pc.and_(pc.greater_equal(batch.column("time"), low), pc.less(batch.column("time"), high))
                    yield batch.filter(inside)

    def _flush(self) -> None:
        if not self._num_waiting:
            return
        self._folder.mkdir(exist_ok=True)
        whole = pa.concat_tables(self._waiting).combine_chunks()
        order = np.argsort(whole.column("time").to_numpy(), kind="stable")
        ordered, size = whole.take(pa.array(order)), -(-ROWS_PER_RUN // _BATCHES_PER_RUN)
        times = ordered.column("time").to_numpy()
        with pa.ipc.new_file(self._folder / f"run-{len(self._firsts)}.arrow", ordered.schema) as writer:
            writer.write_table(ordered.combine_chunks(), max_chunksize=size)
        self._firsts.append(np.append(times[::size], times[-1]))
        self._waiting, self._num_waiting = [], 0
