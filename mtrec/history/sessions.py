"""Which row comes before each row in its session: sessions are cut by key, so that memory is bounded by one part of the log."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.errors import DataError
from mtrec.history.keys import number_keys
from mtrec.history.parts import KeyParts
from mtrec.history.times import instants
from mtrec.schema import Log

__all__ = ["LINK", "SessionLinks"]

LINK = np.dtype([("before", "<i8"), ("is_last", "?")])


class SessionLinks:
    """Links the rows of each session in the order of time, rows of one time in the order of the log.

    Sessions are the values of `log.roles.session`; a row whose session is null, or NaN, is a session of its own.

    Args:
        log: the section, for session, time and how times are read.
        folder: made, and removed by `close`.
    """

    def __init__(self, log: Log, folder: Path) -> None:
        assert log.roles.session is not None and log.roles.time is not None
        self._session, self._clock, self._time = log.roles.session, log.roles.time, log.time
        self._folder = folder
        folder.mkdir()
        self._parts = KeyParts(folder / "parts", "session")

    def add(self, table: pa.Table, row: NDArray[np.int64]) -> None:
        """Take in rows, at most once each; `row` holds their places in the log.

        Raises:
            DataError: if sessions or times cannot be read.
        """
        clock = table[self._clock].combine_chunks()
        columns = {"row": row, "time": instants(clock, self._time, f"column {self._clock!r}"), "session": self._sessions(table)}
        self._parts.add("rows", pa.table(columns))

    def links(self, num_rows: int) -> NDArray[np.void]:
        """By place in the log, for `num_rows` places: `before`, the place of the row before in its session, -1 if there is none or the row was
        not added; and `is_last`, whether none comes after it. Held on disk; of dtype `LINK`. [num_rows]"""
        found: NDArray[np.void] = np.memmap(self._folder / "links", LINK, "w+", shape=num_rows)
        found["before"], found["is_last"] = -1, True
        for group in self._parts.groups():
            if "rows" in group:
                rows = group["rows"]
                session, _ = number_keys([rows["session"]], rows.num_rows)
                row = rows["row"].to_numpy()
                order = np.lexsort((row, rows["time"].to_numpy(), session))
                follows = np.flatnonzero(np.diff(session[order]) == 0)
                found["before"][row[order[follows + 1]]] = row[order[follows]]
                found["is_last"][row[order[follows]]] = False
        return found

    def close(self) -> None:
        """Remove what was written; links that were given stay readable."""
        shutil.rmtree(self._folder)

    def _sessions(self, table: pa.Table) -> pa.ChunkedArray:
        column = table[self._session]
        if pa.types.is_nested(column.type):
            raise DataError("A session cannot be a list", where=f"column {self._session!r}", found=column.type)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        return pc.if_else(pc.is_nan(column), None, column) if pa.types.is_floating(column.type) else column
