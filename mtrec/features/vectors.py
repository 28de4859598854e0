"""Vectors that were learned elsewhere, as inputs: found by an id of the row, never trained.

Shapes: B rows, V vector features, R vectors of one of them, w their width.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtrec.features.checks import IdColumns, StringColumns, id_column, string_column
from mtrec.features.columns import Raw
from mtrec.features.inputs import VectorInput
from mtrec.features.state import read_state
from mtrec.features.transforms.vocabulary import Config, Vocabulary
from mtrec.types import Batch

__all__ = ["FrozenVectors", "VectorTable", "frozen_vectors"]


class VectorTable(nn.Module):
    """The vectors of one feature; a null id and an id without a vector give zeros.

    Attributes:
        rows: [R + 1, w] float32; row 0 is zeros.
    """

    rows: Tensor

    def __init__(self, feature: VectorInput) -> None:
        super().__init__()
        self.column, self.textual, self.normalise = feature.column, feature.type == "string", feature.normalise
        self.places = Vocabulary(Config(min_count=1))
        self.register_buffer("rows", torch.zeros(1, 0))

    def fit(self, keys: pa.Array, vectors: NDArray[np.float32]) -> None:
        """Take over the vectors [R, w] of ids, each there once; with `normalise` those that are not zero are brought to the length 1."""
        self.places.fit(keys)
        rows = np.zeros((len(keys) + 1, vectors.shape[1]), dtype=np.float32)
        rows[self.places.encode(keys)] = vectors
        if self.normalise:
            # Scaled by the largest first, so that no square overflows.
            wide = rows.astype(np.float64)
            largest = np.abs(wide).max(axis=1, keepdims=True)
            wide /= np.where(largest > 0, largest, 1.0)
            lengths = np.sqrt(np.square(wide).sum(axis=1, keepdims=True))
            rows = (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
        self.rows = torch.from_numpy(rows)

    def encode(self, raw: Raw) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The place among `rows` of each row of a log, and 1 a row: the form of an id feature."""
        values, lengths = raw.values[self.column]
        places = np.zeros(len(lengths), dtype=np.int64)
        places[lengths > 0] = self.places.encode(values)
        return places, np.ones(len(lengths), dtype=np.int64)

    def forward(self, ids: IdColumns, strings: StringColumns, num_rows: int) -> Tensor:
        """-> [B, w] float32"""
        if self.textual:
            texts, lengths = string_column(strings, self.column, num_rows, True)
            found = self.places.forward_strings(texts)
        else:
            values, lengths = id_column(ids, self.column, num_rows, True, False)
            found = self.places(values)
        places = torch.zeros(num_rows, dtype=torch.int64)
        places[lengths > 0] = found
        return self.rows[places]


class FrozenVectors(nn.Module):
    """From places to vectors: the last V ids of each row of a batch become further numbers of it.

    Batches hold places in place of the vectors themselves, which would multiply what is stored and read.

    Args:
        tables: for each vector feature its `rows`, in the order of the features.
    """

    def __init__(self, tables: list[Tensor]) -> None:
        super().__init__()
        self.tables = tables  # Of the prepared log, not of the model: they are in no state.
        self.width = sum(table.shape[1] for table in tables)

    def forward(self, batch: Batch) -> Batch:
        if not self.tables:
            return batch
        num_rows, count = len(batch.numbers), len(self.tables)
        first = batch.ids.numel() - count * num_rows
        places_VB = batch.ids[first:].view(count, num_rows)
        vectors = [table[places] for table, places in zip(self.tables, places_VB, strict=True)]
        return batch._replace(numbers=torch.cat([batch.numbers, *vectors], 1), ids=batch.ids[:first], id_lengths=batch.id_lengths[:-count])


def frozen_vectors(path: Path, count: int) -> FrozenVectors:
    """The first `count` vector features of a saved feature set.

    Raises:
        BundleError: if its file cannot be read.
    """
    state = read_state(path) if count else {}
    return FrozenVectors([state[f"vectors.{index}.rows"] for index in range(count)])
