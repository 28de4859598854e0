"""The rows of a split by the values of a column."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.evaluation.judged import column_of_rows

__all__ = ["MOST_VALUES", "OTHERS", "Slices", "slices_of"]

MOST_VALUES = 20
OTHERS = "all others"


class Slices(NamedTuple):
    """Attributes: column; values, the most frequent first, then `all others` if there are more; of_row [rows], the place of its value there."""

    column: str
    values: list[str]
    of_row: NDArray[np.int64]


def slices_of(columns: pa.Table, config: Config) -> dict[str, Slices]:
    """The slices by each name of `evaluation.slices`. Values that are equally frequent stand in their own order, null is a value.

    Raises:
        DataError: if a column is not there, or holds lists.
    """
    return {name: _slices(name, column_of_rows(columns, name, config)) for name in config.evaluation.slices}


def _slices(name: str, column: pa.ChunkedArray) -> Slices:
    text = pc.fill_null(column.cast(pa.string()), "null").combine_chunks().dictionary_encode()
    codes, names = text.indices.to_numpy(), text.dictionary.to_pylist()
    counts = np.bincount(codes, minlength=len(names))
    order = sorted(range(len(names)), key=lambda code: (-counts[code], names[code]))
    place = np.empty(len(names), dtype=np.int64)
    place[order] = np.arange(len(names))
    few = len(names) <= MOST_VALUES
    shown = [names[code] for code in order[:MOST_VALUES]]
    return Slices(name, shown if few else [*shown, OTHERS], np.minimum(place, MOST_VALUES)[codes])
