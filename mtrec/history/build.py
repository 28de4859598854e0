"""Histories and counters of a whole log: one pass over it, one unit and part at a time, then back to the order of its rows."""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.errors import DataError
from mtrec.history.assemble import assemble
from mtrec.history.buckets import RowBuckets
from mtrec.history.compute import compute, earliest_bound, nothing_saved
from mtrec.history.intake import Intake
from mtrec.history.plan import LOG, HistoryPlan
from mtrec.history.records import columns_of, schema_of
from mtrec.history.state import HistoryState, StateFiles, write_state
from mtrec.history.units import Unit

__all__ = ["build_history"]

_WORKERS = min(4, os.cpu_count() or 1)
_ROW_GROUP = 65_536

Item = TypeVar("Item")
Found = TypeVar("Found")


def build_history(
    plan: HistoryPlan,
    rows: Iterable[pa.Table],
    events: Mapping[str, Iterable[pa.Table]],
    out: Path,
    state: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Write `columns.parquet`, the added columns in the order of the log's rows, and `state/`, from which a later log goes on.

    Memory is bounded by the records of one part, about a million, or of the largest key where that has more.

    Args:
        rows: the log, at least the columns `plan.needed`; read once. events: by source, tables with the columns `plan.needed_of(source)`.
        out: a directory; its files are whole once the function has returned.
        state: a saved state to go on from: the result is then bit for bit that of all rows since the first at once.
        progress: called with the number of rows just read.

    Raises:
        DataError: if values cannot be read, or with `state` rows or events are earlier than its watermark, or it is of another history.
        BundleError: if `state` is damaged.
    """
    before = None if state is None else HistoryState.open(state)
    if before is not None:
        before.check_goes_on(plan)
    missing = [source for source in plan.sources if source != LOG and source not in events]
    if missing:
        raise DataError("Sources of events are not given", found=sorted(events), expected=missing)
    out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=out, prefix=".parts-") as name,
        write_state(out / "state", plan) as (files, meta),
        ThreadPoolExecutor(_WORKERS) as pool,
    ):
        folder = Path(name)
        intake = Intake(plan, before, folder, pool)
        for number, source in enumerate(plan.sources):
            for table in rows if source == LOG else events[source]:
                intake.add(number, table)
                if source == LOG:
                    progress(table.num_rows)
        intake.check()
        buckets = RowBuckets(folder / "rows", plan)
        by_time = pool.submit(_compute_by_time, intake, before, buckets, files)
        _compute_by_key(intake, buckets, files, pool)
        by_time.result()
        _write_columns(plan, intake.num_rows, buckets, out / "columns.parquet", pool)
        meta |= {"watermark": intake.watermark, "magnitudes": intake.magnitudes}


def _compute_by_time(intake: Intake, before: HistoryState | None, buckets: RowBuckets, files: StateFiles) -> None:
    """The units without a key: each stretch of time goes on from the one before."""
    plan = intake.plan
    if not plan.overall:
        return
    saved = {unit.index: before.saved(unit) if before else nothing_saved(unit, plan) for unit in plan.overall}
    for records, reached in intake.runs.ranges():
        for unit in plan.overall:
            result, events = compute(unit, plan, records, saved[unit.index])
            buckets.add(unit.index, result)
            saved[unit.index] = events.saved(earliest_bound(unit, plan, intake.watermark if reached is None else reached))
    for unit in plan.overall:
        files.add(unit, saved[unit.index])


def _compute_by_key(intake: Intake, buckets: RowBuckets, files: StateFiles, pool: ThreadPoolExecutor) -> None:
    plan = intake.plan
    for column, units in plan.partitions.items():
        nothing = schema_of(plan, columns_of(units)).empty_table()

        def run(group: dict[str, pa.Table], units: list[Unit] = units, nothing: pa.Table = nothing) -> list[tuple[Unit, pa.Table]]:
            found = []
            for unit in units:
                saved = group.get(str(unit.index))
                result, events = compute(unit, plan, group.get("records", nothing), nothing_saved(unit, plan) if saved is None else saved)
                buckets.add(unit.index, result)
                found.append((unit, events.saved(earliest_bound(unit, plan, intake.watermark))))
            return found

        for done in _in_order(pool, run, intake.parts[column].groups()):
            for unit, table in done:
                files.add(unit, table)


def _write_columns(plan: HistoryPlan, num_rows: int, buckets: RowBuckets, path: Path, pool: ThreadPoolExecutor) -> None:
    def run(first: int) -> pa.Table:
        return assemble(plan, min(buckets.size, num_rows - first), buckets.read(first // buckets.size))

    with pq.ParquetWriter(path, plan.columns, compression="lz4", use_dictionary=False, write_statistics=False, write_page_checksum=True) as writer:
        for table in _in_order(pool, run, range(0, num_rows, buckets.size)):
            writer.write_table(table, row_group_size=_ROW_GROUP)


def _in_order(pool: ThreadPoolExecutor, function: Callable[[Item], Found], items: Iterable[Item]) -> Iterator[Found]:
    """Results in the order of the items, of which only as many are in memory as there are workers."""
    waiting: deque[Future[Found]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) >= _WORKERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
