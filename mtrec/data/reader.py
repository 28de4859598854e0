"""From a prepared file to batches: row groups in a seeded order, rows permuted inside, an exact place to go on from, and a thread that reads ahead.

The order of an epoch depends on the seed and the epoch only; a batch is named by the row of that order with which it starts.
"""

import contextlib
import copy
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from mtrec.data.block import Block, joined, ragged
from mtrec.errors import DataError
from mtrec.types import Batch, Cursor

__all__ = ["FILLER", "Reader", "opened"]

FILLER = -1  # The `row` of a row that only fills up the share of a rank: its labels are unknown and it weighs nothing.


@contextlib.contextmanager
def opened(path: Path, where: str | None = None) -> Iterator[pq.ParquetFile]:
    """A prepared file, to read in the block.

    Args:
        where: what is read of it, if it is a part.

    Raises:
        DataError: if it cannot be read, or a page's checksum does not fit.
    """
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        found = str(error).partition("\n")[0]
        raise DataError("A prepared file is damaged", where=where or path, found=found, do="Remove the bundle and run prepare again.") from error


class Reader:
    """Batches of a prepared file.

    Args:
        path: `<split>.parquet` of a prepared bundle.
        batch_size: rows of a global batch.
        seed: of the order of rows.
        rank, world_size: this process takes its share of each global batch; together the ranks take each row once.

    Raises:
        DataError: naming the file that is none of ours, or the row group whose page checksum does not fit.
    """

    def __init__(self, path: Path, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.path, self.batch_size, self.seed = path, batch_size, seed
        self.rank, self.world_size = rank, world_size
        sizes, names = self._outline() if path.is_file() else ([], [])  # A split without rows has no file.
        self._sizes = np.array(sizes, dtype=np.int64)
        self.num_rows = int(self._sizes.sum())
        self._columns = {kind: sorted((n for n in names if n.startswith(kind)), key=lambda n: int(n[2:])) for kind in ("n.", "i.", "y.")}

    def with_label(self, place: int) -> "Reader":
        """The same rows with the label of one task only."""
        reader = copy.copy(self)
        reader._columns = self._columns | {"y.": self._columns["y."][place : place + 1]}
        return reader

    def __len__(self) -> int:
        """The number of batches of an epoch."""
        return -(-self.num_rows // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch in its seeded order, from the row `start` of that order on."""
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self._sizes))
        return self._batches(order, epoch, start, shuffle=True)

    def in_order(self) -> Iterator[Batch]:
        """All rows once, as they lie in the file."""
        return self._batches(np.arange(len(self._sizes)), 0, 0, shuffle=False)

    def _batches(self, order: npt.NDArray[np.int64], epoch: int, start: int, shuffle: bool) -> Iterator[Batch]:
        ready: queue.Queue[Batch | BaseException | None] = queue.Queue(maxsize=4)
        stop = threading.Event()

        def put(item: Batch | BaseException | None) -> bool:
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.1)
                    return True
                except queue.Full:
                    continue
            return False

        def read_ahead() -> None:
            try:
                for batch in self._assemble(order, epoch, start, shuffle):
                    if not put(batch):
                        return
                put(None)
            except BaseException as error:  # Handed to the consumer, who raises it.
                put(error)

        thread = threading.Thread(target=read_ahead, name="mtrec-reader", daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            stop.set()
            thread.join()

    def _assemble(self, order: npt.NDArray[np.int64], epoch: int, start: int, shuffle: bool) -> Iterator[Batch]:
        ends = np.cumsum(self._sizes[order])
        place = start
        waiting: list[Block] = []
        num_waiting = 0
        for group, end in zip(order.tolist(), ends.tolist(), strict=True):
            if end <= start:
                continue
            block = self._load(group)
            if shuffle:
                block = block.take(np.random.default_rng([self.seed, epoch, group + 1]).permutation(len(block.weight)))
            first = max(0, start - (end - len(block.weight)))
            while len(block.weight) - first + num_waiting >= self.batch_size:
                cut = first + self.batch_size - num_waiting
                yield self._to_batch(joined([*waiting, block.between(first, cut)]), Cursor(epoch, place))
                place, first, waiting, num_waiting = place + self.batch_size, cut, [], 0
            if first < len(block.weight):
                waiting.append(block.between(first, len(block.weight)))
                num_waiting += len(block.weight) - first
        if num_waiting:
            yield self._to_batch(joined(waiting), Cursor(epoch, place))

    def _to_batch(self, block: Block, cursor: Cursor) -> Batch:
        size = len(block.weight)
        first, last = size * self.rank // self.world_size, size * (self.rank + 1) // self.world_size
        if first == last:  # All ranks must take part in the look-up, one whose share is empty too.
            block = block.between(0, 1)._replace(mask=np.zeros_like(block.mask[:1]), weight=np.zeros(1, np.float32), row=np.full(1, FILLER))
        else:
            block = block.between(first, last)
        lengths = [np.diff(offsets) for _, offsets in block.ids]
        values = [values for values, _ in block.ids]
        return Batch(
            numbers=torch.from_numpy(np.ascontiguousarray(block.numbers)),
            ids=torch.from_numpy(np.concatenate(values) if values else np.zeros(0, dtype=np.int64)),
            id_lengths=torch.from_numpy(np.stack(lengths) if lengths else np.zeros((0, len(block.weight)), dtype=np.int64)),
            labels=torch.from_numpy(block.labels.copy()),
            label_mask=torch.from_numpy(block.mask.copy()),
            weight=torch.from_numpy(block.weight.copy()),
            row=torch.from_numpy(block.row.copy()),
            cursor=cursor,
        )

    def _outline(self) -> tuple[list[int], list[str]]:
        """The sizes of the row groups and the names of the columns."""
        with opened(self.path) as file:
            return [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)], file.schema_arrow.names

    def _load(self, group: int) -> Block:
        with opened(self.path, f"{self.path}, row group {group}") as file:
            table = file.read_row_group(group)
        num_rows = table.num_rows
        numbers = np.empty((num_rows, len(self._columns["n."])), dtype=np.float32)
        for index, name in enumerate(self._columns["n."]):
            numbers[:, index] = table[name].to_numpy()
        labels = np.zeros((num_rows, len(self._columns["y."])), dtype=np.float32)
        mask = np.zeros(labels.shape, dtype=np.bool_)
        for index, name in enumerate(self._columns["y."]):
            column = table[name].to_numpy()
            mask[:, index] = ~np.isnan(column)
            labels[:, index] = np.where(mask[:, index], column, 0.0)
        ids = [ragged(table[name].combine_chunks()) for name in self._columns["i."]]
        return Block(numbers, ids, labels, mask, table["w"].to_numpy(), table["row"].to_numpy())
