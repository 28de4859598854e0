"""Results on their way back to the order of the log: each goes to the file of the range of rows that it belongs to."""

import threading
from pathlib import Path

import numpy as np
import pyarrow as pa

from mtrec.history.compute import Result
from mtrec.history.parts import append_table, read_tables
from mtrec.history.plan import HistoryPlan
from mtrec.sections import History

__all__ = ["RowBuckets"]

MOST_ROWS = 2**18
# Of one column of lists in one file: Arrow counts the bytes of its texts in 31 bits.
_MOST_VALUES, _MOST_TEXTS = 2**24, 2**22


class RowBuckets:
    """Files of `size` rows each, fewer where histories are long; any thread may add."""

    def __init__(self, folder: Path, plan: HistoryPlan) -> None:
        sizes = [
            (_MOST_TEXTS if "string" in [plan.kinds[name] for name in unit.entry.keep] else _MOST_VALUES) // unit.entry.last
            for unit in plan.units
            if isinstance(unit.entry, History)
        ]
        self.size = max(1, min([MOST_ROWS, *sizes]))
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir()

    def add(self, unit: int, result: Result) -> None:
        """Lists are made here, for the rows of one file at a time."""
        bucket = result.rows // self.size
        small = bucket.astype(np.uint16) if len(bucket) and bucket.max() < 2**16 else bucket
        order = np.argsort(small, kind="stable")
        edges = np.flatnonzero(np.diff(bucket[order], prepend=-1, append=-1))
        for start, stop in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            table = result.take(order[start:stop])
            with self._lock:
                append_table(self._path(int(bucket[order[start]])), str(unit), table)

    def read(self, bucket: int) -> dict[int, pa.Table]:
        """The results of one range of rows, by unit; `row` counts from its start. Each once."""
        found: dict[int, list[pa.Table]] = {}
        path = self._path(bucket)
        for name, table in read_tables(path) if path.exists() else ():
            found.setdefault(int(name), []).append(table)
        path.unlink(missing_ok=True)
        whole = {unit: pa.concat_tables(tables, promote_options="permissive").combine_chunks() for unit, tables in found.items()}
        first = bucket * self.size
        return {unit: table.set_column(0, "row", pa.array(table.column("row").to_numpy() - first)) for unit, table in whole.items()}

    def _path(self, bucket: int) -> Path:
        return self._folder / f"{bucket}.arrow"
