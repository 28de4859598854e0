"""What is kept after the last row, so that the next log goes on where this one ended, and rows of today can be answered."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mtrec.errors import BundleError, DataError
from mtrec.history.assemble import assemble
from mtrec.history.compute import compute, saved_schema
from mtrec.history.plan import HistoryPlan
from mtrec.history.records import read_records
from mtrec.history.timeline import spread
from mtrec.history.times import show
from mtrec.history.units import Unit
from mtrec.store import MANIFEST, Bundle, digest_of

__all__ = ["HistoryState", "StateFiles", "write_state"]

KIND = "history"
_ROWS_PER_SLICE = 131_072


class HistoryState:
    """A saved state.

    Attributes:
        plan: what it was computed by. watermark: the time of the last row of the log, an instant in nanoseconds; None if there were none. inputs: the
        columns that rows need in order to be answered. digest: of all its bytes. magnitudes: for each label, the sum of its absolute values.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._bundle, self._index = bundle, dict[int, _KeyIndex]()
        try:
            self.plan = HistoryPlan.from_json(bundle.meta["plan"])
            self.watermark: int | None = bundle.meta["watermark"]
            self.magnitudes: dict[str, float] = bundle.meta["magnitudes"]
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError("The state of a history cannot be read", where=bundle.path, found=error, do="Build it anew.") from error
        self.inputs = self.plan.inputs
        self.digest = digest_of(bundle.path / MANIFEST)

    @classmethod
    def open(cls, path: str | Path) -> "HistoryState":
        """Read a state, every file checked.

        Raises:
            BundleError: naming the file that is missing or damaged.
        """
        return cls(Bundle.open(path, KIND))

    def add(self, rows: pa.Table) -> pa.Table:
        """The added columns of rows as they are now, before any of them is taken in: the rows ask, and are no events.

        Raises:
            DataError: if rows lack an input or a time, or are earlier than the watermark.
        """
        lacking = [name for name in self.inputs if name not in rows.column_names]
        if lacking:
            raise DataError("The rows lack columns that their history hangs on", found=rows.column_names, expected=lacking)
        records = read_records(self.plan, 0, rows, 0, only_keys=True)
        num_late = 0 if self.watermark is None else int((records.column("time").to_numpy() < self.watermark).sum())
        if num_late:
            assert self.watermark is not None
            what = f"{num_late} rows are earlier than the last row of the saved state"
            raise DataError(what, where=self.plan.clock, expected=f"{show(self.watermark)} or later")
        results = {}
        for unit in self.plan.units:
            if unit.index not in self._index:
                self._index[unit.index] = _KeyIndex(self.saved(unit), [f"v.{name}" for name in unit.key])
            answer, _ = compute(unit, self.plan, records, self._index[unit.index].of(records))
            results[unit.index] = answer.take(np.arange(len(answer.rows)))
        return assemble(self.plan, rows.num_rows, results)

    def saved(self, unit: Unit) -> pa.Table:
        """What is saved of a unit."""
        return pa.concat_tables([saved_schema(unit, self.plan).empty_table(), *self.saved_slices(unit)])

    def saved_slices(self, unit: Unit) -> Iterator[pa.Table]:
        """The same in pieces."""
        file = self._bundle.path / f"{unit.index}.parquet"
        try:
            with pq.ParquetFile(file, page_checksum_verification=True) as reader:
                for batch in reader.iter_batches(_ROWS_PER_SLICE):
                    yield pa.Table.from_batches([batch]).cast(saved_schema(unit, self.plan))
        except (OSError, pa.ArrowException) as error:
            raise BundleError("A file of the state cannot be read", where=file, found=error, do="Restore it from a copy.") from error

    def check_goes_on(self, plan: HistoryPlan) -> None:
        """Refuse a plan that computes something else; its files of events may have other names.

        Raises:
            DataError: naming what differs.
        """
        mine, other = _facts(self.plan), _facts(plan)
        differs = sorted(name for name in {*mine, *other} if mine.get(name) != other.get(name))
        if differs:
            found = "; ".join(f"{name}: {other.get(name)} (was {mine.get(name)})" for name in differs)
            raise DataError("The saved state is one of another history", where=self._bundle.path, found=found, do="Build the history anew.")


class StateFiles:
    """The files of a state while they are written, one for each unit."""

    def __init__(self, folder: Path, plan: HistoryPlan, stack: ExitStack) -> None:
        self._plan = plan
        self._writers = [
            stack.enter_context(
                pq.ParquetWriter(
                    folder / f"{unit.index}.parquet", saved_schema(unit, plan), compression="zstd", compression_level=1, write_page_checksum=True
                )
            )
            for unit in plan.units
        ]

    def add(self, unit: Unit, table: pa.Table) -> None:
        self._writers[unit.index].write_table(table.select(saved_schema(unit, self._plan).names).cast(saved_schema(unit, self._plan)))


@contextmanager
def write_state(path: Path, plan: HistoryPlan) -> Iterator[tuple[StateFiles, dict[str, Any]]]:
    """Give the files to fill and the `meta` to complete; the state is there once the block ends well."""
    with Bundle.create(path, KIND, {"plan": plan.to_json()}, replace=True) as bundle, ExitStack() as stack:
        yield StateFiles(bundle.path, plan, stack), bundle.meta


class _KeyIndex:
    """Saved rows found by the hash of their key, so that a request costs what its own keys hold; keys that share a hash come along."""

    def __init__(self, saved: pa.Table, names: list[str]) -> None:
        self._names = names
        hashes = self._hash(saved)
        order = np.argsort(hashes, kind="stable")
        self._saved, self._hashes = saved.take(pa.array(order)), hashes[order]

    def of(self, records: pa.Table) -> pa.Table:
        wanted = np.unique(self._hash(records))
        first, last = (np.searchsorted(self._hashes, wanted, side=side) for side in ("left", "right"))
        return self._saved.take(pa.array(spread(first, last - first)))

    def _hash(self, table: pa.Table) -> NDArray[np.uint64]:
        if not self._names:
            return np.zeros(table.num_rows, dtype=np.uint64)
        hashes: NDArray[np.uint64] = pl.DataFrame(table.select(self._names)).hash_rows().to_numpy()
        return hashes


def _facts(plan: HistoryPlan) -> dict[str, Any]:
    facts: dict[str, Any] = {f"history.{name}": entry.model_dump() | {"events": "log" in entry.events} for name, entry in plan.entries.items()}
    kinds = {f"column {name}": kind for name, kind in plan.kinds.items()}
    return facts | kinds | {"roles": [plan.clock, plan.roles.user, plan.roles.item, plan.roles.session], "log.time": plan.time.model_dump()}
