"""Keys of one or several columns as small numbers, within one partition."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["number_keys"]


def number_keys(columns: Sequence[pa.ChunkedArray], num_rows: int) -> tuple[NDArray[np.int64], int]:
    """The number of each row's key, -1 where any part is null, and how many keys there may be. [rows]

    Equal keys have equal numbers, others different ones: values are compared, not their hashes. Without columns all rows have one key.
    """
    if not columns:
        return np.zeros(num_rows, dtype=np.int64), 1
    numbers, size = _encode(columns[0])
    for column in columns[1:]:
        more, more_size = _encode(column)
        both = np.where((numbers < 0) | (more < 0), -1, numbers * more_size + more)
        numbers, size = _encode(pa.chunked_array([pa.array(both, mask=both < 0)]))
    return numbers, size


def _encode(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], int]:
    encoded = pa.concat_arrays(column.chunks).dictionary_encode() if column.num_chunks else pa.array([], column.type).dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(), dtype=np.int64), len(encoded.dictionary)
