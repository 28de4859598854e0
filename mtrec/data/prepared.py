"""Writing a prepared log: split, encoded, train rows in a seeded hash order, in two passes over the log and bounded memory.

Columns of the files: `n.<i>` numbers, `i.<f>` ids (a list where a row may have several), `y.<t>` labels with null for unknown, `w` weights, `row` the
row's place in the log. Pages carry checksums.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.data.labels import Labels, read_labels, read_weights
from mtrec.data.log import LogFiles
from mtrec.data.shuffle import HashOrder, RowGroups
from mtrec.data.split import SPLITS, Splitter, row_hash
from mtrec.errors import DataError
from mtrec.schema import Task

__all__ = ["Encoder", "Facts", "Sample", "write_rows"]

SAMPLE_ROWS = 512


class EncodedRows(Protocol):
    """Attributes: numbers [rows, N] float32; ids, for each id feature, values and lengths [rows]."""

    @property
    def numbers(self) -> npt.NDArray[np.float32]: ...
    @property
    def ids(self) -> Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]: ...


class Encoder(Protocol):
    """What fits itself to the train rows and then encodes all rows."""

    def observe(self, table: pa.Table, row_hash: npt.NDArray[np.uint64]) -> None: ...
    def finish(self) -> None: ...
    def encode(self, table: pa.Table) -> EncodedRows: ...


class Facts(NamedTuple):
    """What is known of a prepared log: rows by split, and for each split and task the known labels, their mean and standard deviation."""

    rows: dict[str, int]
    tasks: dict[str, dict[str, dict[str, float]]]


def write_rows(
    log: LogFiles,
    splitter: Splitter,
    encoder: Encoder,
    tasks: dict[str, Task],
    weight: str | None,
    list_fields: list[bool],
    seed: int,
    out: Path,
    progress: Callable[[str, int], None],
) -> Facts:
    """Fit the encoder on the train rows, then write `<split>.parquet` for each split and `sample.parquet`, held-out rows as they came.

    Args:
        list_fields: for each id feature, whether a row may hold several values.
        progress: called with the pass ("fit", "encode") and the number of rows just done.

    Raises:
        DataError: if the log has no rows, no train rows, or labels out of range.
    """
    sums = {split: _Sums(tasks) for split in SPLITS}
    start = 0
    for table in log.slices():
        hashes, splits = row_hash(start, table.num_rows, seed), splitter.assign(table)
        labels = read_labels(table, tasks)
        read_weights(table, weight)  # What is wrong with them is told before hours have gone into the fit.
        for code, split in enumerate(SPLITS):
            sums[split].add(labels, splits == code)
        train = np.flatnonzero(splits == 0)
        if len(train):
            encoder.observe(table.take(train), hashes[train])
        start += table.num_rows
        progress("fit", table.num_rows)
    rows = {split: sums[split].rows for split in SPLITS}
    if start == 0:
        raise DataError("The log has no rows", where=", ".join(log.files[:3]))
    if rows["train"] == 0:
        raise DataError("No row of the log falls into train", found=rows, do="Set log.split so that it leaves rows to train on.")
    encoder.finish()
    sample = Sample(SAMPLE_ROWS, "test" if rows["test"] else "valid" if rows["valid"] else "train")
    with (
        HashOrder(out / "train.parquet", rows["train"]) as train_file,
        RowGroups(out / "valid.parquet") as valid,
        RowGroups(out / "test.parquet") as test,
    ):
        start = 0
        for table in log.slices():
            hashes, splits = row_hash(start, table.num_rows, seed), splitter.assign(table)
            encoded = _to_arrow(encoder.encode(table), list_fields, read_labels(table, tasks), read_weights(table, weight), start)
            train_file.add(encoded.filter(pa.array(splits == 0)), hashes[splits == 0])
            valid.add(encoded.filter(pa.array(splits == 1)))
            test.add(encoded.filter(pa.array(splits == 2)))
            sample.add(table, splits, hashes)
            start += table.num_rows
            progress("encode", table.num_rows)
    pq.write_table(sample.table(), out / "sample.parquet", write_page_checksum=True)
    return Facts(rows, {split: sums[split].facts() for split in SPLITS})


def _to_arrow(encoded: EncodedRows, list_fields: list[bool], labels: Labels, weights: npt.NDArray[np.float32], start: int) -> pa.Table:
    columns: dict[str, Any] = {f"n.{i}": np.ascontiguousarray(encoded.numbers[:, i]) for i in range(encoded.numbers.shape[1])}
    for index, ((values, lengths), is_list) in enumerate(zip(encoded.ids, list_fields, strict=True)):
        small = values.astype(np.int32)
        if is_list:
            offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
            columns[f"i.{index}"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(small))
        else:
            whole = np.zeros(len(lengths), dtype=np.int32)
            whole[lengths == 1] = small
            columns[f"i.{index}"] = pa.array(whole, mask=lengths == 0)
    for index in range(labels.values.shape[1]):
        columns[f"y.{index}"] = pa.array(labels.values[:, index], mask=~labels.mask[:, index])
    columns["w"] = weights
    columns["row"] = np.arange(start, start + len(weights), dtype=np.int64)
    return pa.table(columns)


class Sample:
    """The raw rows of one split with the smallest hashes: the same whatever the slices."""

    def __init__(self, size: int, split: str) -> None:
        self.size, self.code = size, SPLITS.index(split)
        self._rows: pa.Table | None = None
        self._hashes = np.empty(0, dtype=np.uint64)

    def add(self, table: pa.Table, splits: npt.NDArray[np.int8], hashes: npt.NDArray[np.uint64]) -> None:
        mine = np.flatnonzero(splits == self.code)
        mine = mine[np.argsort(hashes[mine], kind="stable")[: self.size]]
        rows = table.take(mine) if self._rows is None else pa.concat_tables([self._rows, table.take(mine)])
        known = np.concatenate([self._hashes, hashes[mine]])
        order = np.argsort(known, kind="stable")[: self.size]
        self._rows, self._hashes = rows.take(order), known[order]

    def table(self) -> pa.Table:
        assert self._rows is not None
        return self._rows


class _Sums:
    """Running counts of one split."""

    def __init__(self, tasks: dict[str, Task]) -> None:
        self.tasks = tasks
        self.rows = 0
        self.known, self.total, self.squares = (np.zeros(len(tasks)) for _ in range(3))

    def add(self, labels: Labels, chosen: npt.NDArray[np.bool_]) -> None:
        values = labels.values[chosen].astype(np.float64)
        self.rows += len(values)
        self.known += labels.mask[chosen].sum(0)
        self.total += values.sum(0)
        self.squares += (values * values).sum(0)

    def facts(self) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for index, name in enumerate(self.tasks):
            known = float(self.known[index])
            mean = float(self.total[index]) / max(known, 1.0)
            deviation = max(float(self.squares[index]) / max(known, 1.0) - mean * mean, 0.0) ** 0.5
            found[name] = {"known": known, "mean": mean, "deviation": deviation}
        return found
