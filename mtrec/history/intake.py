"""The one pass over a log and its files of events: what is read goes to the parts that it is computed in."""

from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mtrec.errors import DataError
from mtrec.history.counter_events import half_life_of
from mtrec.history.decay import MOST_HALF_LIVES
from mtrec.history.parts import KeyParts
from mtrec.history.plan import HistoryPlan
from mtrec.history.records import columns_of, read_records, schema_of
from mtrec.history.runs import TimeRuns
from mtrec.history.state import HistoryState
from mtrec.history.times import show
from mtrec.sections import Counters

__all__ = ["Intake"]

_LARGEST_SUM = 2.0**62


class Intake:
    """Everything that was read, cut by key and in the order of time.

    Attributes:
        parts: for each column that rows are cut by, the records of the log and what an earlier run saved. runs: records in the order of time.
        num_rows: those of the log. watermark: the latest time of a row of the log, of earlier runs too. magnitudes: for each label, the sum of
        its absolute values so far.
    """

    def __init__(self, plan: HistoryPlan, before: HistoryState | None, folder: Path, pool: Executor) -> None:
        self.plan, self._before, self._pool = plan, before, pool
        self.parts = {column: KeyParts(folder / f"by-{number}", f"v.{column}") for number, column in enumerate(plan.partitions)}
        self.runs = TimeRuns(folder / "by-time", schema_of(plan, columns_of(plan.overall)))
        self.num_rows, self._num_late = 0, 0
        self.watermark = before.watermark if before else None
        self.magnitudes = dict(before.magnitudes) if before else {}
        self._span = (2**63 - 1, -(2**63))
        self._columns = {column: columns_of(units) for column, units in plan.partitions.items()}
        for column, units in plan.partitions.items() if before else ():
            for unit in units:
                assert before is not None
                for table in before.saved_slices(unit):
                    self.parts[column].add(str(unit.index), table)

    def add(self, source: int, table: pa.Table) -> None:
        """Take in rows of a source, the next ones of the log or of a file of events."""
        if table.num_rows == 0:
            return
        records = read_records(self.plan, source, table, self.num_rows if source == 0 else None)
        times = records.column("time").to_numpy()
        self._span = min(self._span[0], int(times.min())), max(self._span[1], int(times.max()))
        if self._before is not None and self._before.watermark is not None:
            self._num_late += int((times < self._before.watermark).sum())
        if source == 0:
            self.num_rows += table.num_rows
            self.watermark = int(times.max()) if self.watermark is None else max(self.watermark, int(times.max()))
        self._measure(records)
        hand_on = [partial(self.parts[column].add, "records", records.select(names)) for column, names in self._columns.items()]
        hand_on += [partial(self.runs.add, records.select(columns_of(self.plan.overall)))] if self.plan.overall else []
        for done in [self._pool.submit(each) for each in hand_on]:
            done.result()

    def check(self) -> None:
        """Refuse what cannot be answered exactly.

        Raises:
            DataError: if rows or events are earlier than what has been answered, or the times span too many half-lives.
        """
        if self._num_late:
            assert self._before is not None and self._before.watermark is not None
            what = f"{self._num_late} rows or events are earlier than the last row of the saved state"
            do = "Build the history anew from all rows, or leave these out."
            raise DataError(what, where="time", expected=f"{show(self._before.watermark)} or later", do=do)
        for unit in self.plan.units:
            half_life = half_life_of(unit) if isinstance(unit.entry, Counters) else None
            if half_life is not None and self._span[1] - self._span[0] > MOST_HALF_LIVES * half_life:
                found = f"{show(self._span[0])} to {show(self._span[1])}"
                what = f"The times span more than {MOST_HALF_LIVES} half-lives"
                raise DataError(what, where=f"history.{unit.name}.half_life", found=found, do="Choose a longer one.")

    def _measure(self, records: pa.Table) -> None:
        for name in records.column_names:
            if name.startswith("y."):
                values = np.asarray(pc.fill_null(records.column(name), 0), dtype=np.float64)
                self.magnitudes[name] = self.magnitudes.get(name, 0.0) + float(np.abs(values).sum())
                if self.magnitudes[name] > _LARGEST_SUM:
                    raise DataError("The sums of a label leave 64 bits", where=name[2:], do="Give it in larger units.")
