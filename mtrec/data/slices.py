"""The rows of a log as prepare takes them: split, labelled, weighed, and without the negatives that `log.sample` leaves out."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from mtrec.data.extended import ExtendedLog
from mtrec.data.labels import Labels, read_labels
from mtrec.data.log import LogFiles
from mtrec.data.split import Splitter, row_hash
from mtrec.data.weights import Weights, read_weights
from mtrec.hash64 import hash_int64
from mtrec.schema import Log, NegativeSample, Task

__all__ = ["Slice", "read_slices"]


class Slice(NamedTuple):
    """Rows of a log that lie together.

    Attributes:
        num_read: how many rows of the log these were, of which some may be left out.
        table: the rows as they came.
        row: [rows] int64, their places in the log.
        hashes: [rows] uint64, the hash of each place.
        splits: [rows] int8, as `Splitter.assign` gives them.
        labels, weights: of the rows.
    """

    num_read: int
    table: pa.Table
    row: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint64]
    splits: npt.NDArray[np.int8]
    labels: Labels
    weights: Weights


def read_slices(log: LogFiles | ExtendedLog, splitter: Splitter, tasks: dict[str, Task], section: Log, seed: int) -> Iterator[Slice]:
    """The rows of a log in its order, slice by slice; the same rows at every call.

    Args:
        section: the section `log`, for its roles and its sample.

    Raises:
        DataError: if a label or a weight is out of range.
    """
    start = 0
    for table in log.slices():
        num_rows = table.num_rows
        hashes, labels, weights = row_hash(start, num_rows, seed), read_labels(table, tasks), read_weights(table, section.roles)
        found = Slice(num_rows, table, np.arange(start, start + num_rows), hashes, splitter.assign(table), labels, weights)
        yield found if section.sample is None else _sampled(found, section.sample, list(tasks).index(section.sample.task))
        start += num_rows


def _sampled(rows: Slice, sample: NegativeSample, task: int) -> Slice:
    """Train rows whose label is known to be 0 stay with probability `negatives`, and then stand for 1 / negatives rows; all others stay."""
    labels = rows.labels
    may_go = (rows.splits == 0) & labels.mask[:, task] & (labels.values[:, task] == 0)
    # A hash of the hash: train rows lie in the order of the hash itself, on which it must not depend who stays.
    drawn = hash_int64(torch.from_numpy(rows.hashes.view(np.int64))).numpy().view(np.uint64).astype(np.float64) / 2.0**64
    places = np.flatnonzero(~may_go | (drawn < sample.negatives))
    weights = rows.weights.times(np.where(may_go, 1.0 / sample.negatives, 1.0)).take(places)
    known = Labels(labels.values[places], labels.mask[places])
    return Slice(rows.num_read, rows.table.take(places), rows.row[places], rows.hashes[places], rows.splits[places], known, weights)
