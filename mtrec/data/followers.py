"""`followers.parquet`: for each row of `train.parquet`, in its order, the row that comes after it in its session.

Where no row comes after it there is the row itself, without labels and weight, and with `FILLER` for its place in the log. Readers of the two files
with one seed give the same rows at the same places, in every epoch.
"""

from pathlib import Path
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.data.reader import FILLER
from mtrec.data.shuffle import HashOrder
from mtrec.data.split import hash_of_rows

__all__ = ["NAME", "Followers", "Links"]

NAME = "followers"


class Links(Protocol):
    """What learns the sessions of the train rows, and then tells `before` and `is_last` by place in the log."""

    def add(self, table: pa.Table, row: NDArray[np.int64]) -> None: ...
    def links(self, num_rows: int) -> NDArray[np.void]: ...
    def close(self) -> None: ...


class Followers:
    """The file while it is written.

    Args:
        folder: of the prepared log.
        num_train: number of train rows.
        num_rows: number of rows of the log.
        seed: of the order of the train rows.
        sessions: which has been given all train rows.
    """

    def __init__(self, folder: Path, num_train: int, num_rows: int, seed: int, sessions: Links) -> None:
        self._file, self._seed, self._sessions = HashOrder(folder / f"{NAME}.parquet", num_train), seed, sessions
        self._links = sessions.links(num_rows)

    def __enter__(self) -> Self:
        self._file.__enter__()
        return self

    def __exit__(self, *reason: object) -> None:
        self._file.__exit__(*reason)
        self._sessions.close()

    def add(self, rows: pa.Table) -> None:
        """Encoded train rows, as they are stored."""
        place = rows["row"].to_numpy()
        before, is_last = self._links["before"][place], self._links["is_last"][place]
        self._file.add(rows.filter(pa.array(before >= 0)), hash_of_rows(before[before >= 0], self._seed))
        self._file.add(_nothing(rows.filter(pa.array(is_last))), hash_of_rows(place[is_last], self._seed))


def _nothing(rows: pa.Table) -> pa.Table:
    for index, field in enumerate(rows.schema):
        if field.name.startswith("y."):
            rows = rows.set_column(index, field, pa.nulls(rows.num_rows, field.type))
        elif field.name in ("w", "row"):
            rows = rows.set_column(index, field, pa.repeat(pa.scalar(0 if field.name == "w" else FILLER, field.type), rows.num_rows))
    return rows
