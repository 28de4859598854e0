"""Raw rows for a trained model: a log's own columns, and those of declared histories and counters that it lacks, from the state that was kept."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from mtrec.config import Config
from mtrec.data.extended import ExtendedLog
from mtrec.data.log import LogFiles, available_columns
from mtrec.history.build import build_history
from mtrec.history.state import HistoryState
from mtrec.jobs.history import plan_of_history
from mtrec.schema import Join

__all__ = ["later_log", "requests"]


def requests(source: str | list[str], needed: Sequence[str], joins: Sequence[Join], state: Path | None) -> Iterator[pa.Table]:
    """Rows to score. Declared columns that the files lack are those of the moment: the rows ask, and what they may hold of outcomes is not read.

    Raises:
        DataError: if a column is missing, or a row is earlier than the state.
    """
    history = HistoryState.open(state) if state is not None else None
    lacking = _lacking(source, needed, joins, history)
    if history is None or not lacking:
        yield from LogFiles(source, needed, joins).slices()
        return
    for table in LogFiles(source, [name for name in [*needed, *history.inputs] if name not in lacking], joins).slices():
        added = history.add(table)
        for name in lacking:
            table = table.append_column(name, added[name])
        yield table.select(list(needed))


def later_log(source: list[str], needed: Sequence[str], config: Config, state: Path | None, scratch: Path) -> LogFiles | ExtendedLog:
    """Rows to judge. Declared columns that the files lack go on from the state: each row sees the feedback of the rows before it.

    Files whose rows are events only are not read again: what is made of them stays as the state has it.
    """
    lacking = _lacking(source, needed, config.log.join, HistoryState.open(state) if state is not None else None)
    log = LogFiles(source, [name for name in needed if name not in lacking], config.log.join)
    plan = plan_of_history(config, available_columns(source, config.log.join)) if lacking else None
    if plan is None:
        return log
    rows = LogFiles(source, plan.needed, config.log.join).slices()
    build_history(plan, rows, {name: [] for name in plan.sources if name != "log"}, scratch, state)
    return ExtendedLog(log, scratch / "columns.parquet", lacking)


def _lacking(source: str | list[str], needed: Sequence[str], joins: Sequence[Join], history: HistoryState | None) -> list[str]:
    declared = history.plan.columns.names if history is not None else []
    present = available_columns(source, joins).names
    return [name for name in needed if name in declared and name not in present]
