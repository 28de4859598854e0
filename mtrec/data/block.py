"""Rows in memory, column by column, with lists as values and offsets: what a row group becomes on its way to batches."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["Block", "joined", "ragged"]

Ragged = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


class Block(NamedTuple):
    """Rows in memory.

    Attributes: numbers [rows, N]; ids, for each feature its values and offsets [rows + 1]; labels and mask [rows, T]; weight and row [rows].
    """

    numbers: npt.NDArray[np.float32]
    ids: list[Ragged]
    labels: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]
    row: npt.NDArray[np.int64]

    def take(self, index: npt.NDArray[np.int64]) -> "Block":
        """Copies of the rows at these places, in their order."""
        return Block(
            self.numbers[index], [_take(one, index) for one in self.ids], self.labels[index], self.mask[index], self.weight[index], self.row[index]
        )

    def between(self, start: int, stop: int) -> "Block":
        """Rows start to stop, without a copy."""
        ids = [(values[offsets[start] : offsets[stop]], offsets[start : stop + 1] - offsets[start]) for values, offsets in self.ids]
        return Block(self.numbers[start:stop], ids, self.labels[start:stop], self.mask[start:stop], self.weight[start:stop], self.row[start:stop])


def _take(ragged: Ragged, index: npt.NDArray[np.int64]) -> Ragged:
    values, offsets = ragged
    lengths = np.diff(offsets)[index]
    ends = np.cumsum(lengths)
    places = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(offsets[index] - (ends - lengths), lengths)
    return values[places], np.concatenate([[0], ends])


def joined(blocks: list[Block]) -> Block:
    """The rows of blocks one after the other."""
    if len(blocks) == 1:
        return blocks[0]
    ids: list[Ragged] = []
    for parts in zip(*(block.ids for block in blocks), strict=True):
        lengths = np.concatenate([np.diff(offsets) for _, offsets in parts])
        ids.append((np.concatenate([values for values, _ in parts]), np.concatenate([[0], np.cumsum(lengths)])))
    plain = [np.concatenate([block[i] for block in blocks]) for i in (0, 2, 3, 4, 5)]
    return Block(plain[0], ids, *plain[1:])


def ragged(column: pa.Array) -> Ragged:
    """A column of ids, one a row or a list, as values and offsets; a null has none."""
    if isinstance(column, pa.ListArray):
        offsets = column.offsets.to_numpy().astype(np.int64)
        values = column.values.to_numpy().astype(np.int64)
        return values[offsets[0] : offsets[-1]], offsets - offsets[0]
    offsets = np.concatenate([[0], np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))]).astype(np.int64)
    return column.drop_null().to_numpy().astype(np.int64), offsets
