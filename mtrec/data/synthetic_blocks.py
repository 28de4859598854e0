"""Generated logs of any length: blocks of a fixed size, each from the seed and its own number, cut into tables; the cut changes no value."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.data.split import SPLITS

__all__ = ["BLOCK", "columns_of", "cut"]

BLOCK = 65_536
_VALID_FROM, _TEST_FROM = 0.8, 0.9


def cut(blocks: Iterable[pa.Table], num_rows: int, rows_per_table: int) -> Iterator[pa.Table]:
    """The first `num_rows` rows of the blocks in tables of `rows_per_table` (the last may be shorter), with row_id and split in front.

    The first 80 % of the rows train, the next 10 % are valid, the rest test.
    """
    waiting: list[pa.Table] = []
    num_waiting = start = 0
    for block in blocks:
        waiting.append(block)
        num_waiting += block.num_rows
        while num_waiting and (num_waiting >= rows_per_table or start + num_waiting >= num_rows):
            size = min(rows_per_table, num_rows - start, num_waiting)
            held = pa.concat_tables(waiting)
            yield _numbered(held.slice(0, size).combine_chunks(), start, num_rows)
            start += size
            if start == num_rows:
                return
            waiting, num_waiting = [held.slice(size)], num_waiting - size


def columns_of(name: str, values_BN: NDArray[Any]) -> dict[str, pa.Array]:
    """The columns of a matrix under the names name0, name1, ..."""
    return {f"{name}{place}": pa.array(np.ascontiguousarray(column)) for place, column in enumerate(values_BN.T)}


def _numbered(table: pa.Table, start: int, num_rows: int) -> pa.Table:
    row_id = np.arange(start, start + table.num_rows)
    split = (row_id >= _VALID_FROM * num_rows).astype(np.int8) + (row_id >= _TEST_FROM * num_rows)
    names = pa.DictionaryArray.from_arrays(pa.array(split, pa.int8()), pa.array(SPLITS)).cast(pa.string())
    return table.add_column(0, "split", names).add_column(0, "row_id", pa.array(row_id))
