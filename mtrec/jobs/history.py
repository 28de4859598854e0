"""The declared histories and counters of a log: planned, computed once, and kept with the state after the last row."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from mtrec.config import Config, dump
from mtrec.data.log import LogFiles, available_columns
from mtrec.history.build import build_history
from mtrec.history.plan import HistoryPlan, plan_history
from mtrec.history.state import HistoryState
from mtrec.store import Bundle

__all__ = ["history_bundle", "history_digest", "plan_of_history"]


def plan_of_history(config: Config, columns: pa.Schema) -> HistoryPlan | None:
    """What the declared columns of a log with these columns are made of; None where none are declared."""
    if not config.history:
        return None
    schemas = {source: available_columns(source) for source in _sources(config)}
    return plan_history(config.history, config.log.roles, config.log.time, columns, schemas)


def history_digest(config: Config, plan: HistoryPlan, log_digest: str) -> str:
    """Of all that the declared columns depend on: the log, the files of events, the declarations, the state that is gone on from."""
    whole = dump(config)
    sections = [whole["history"], *(whole["log"][key] for key in ("roles", "time", "join"))]
    events = [LogFiles(source, plan.needed_of(source)).digest() for source in _sources(config)]
    state = HistoryState.open(config.log.history_state).digest if config.log.history_state is not None else None
    return hashlib.sha256(json.dumps([log_digest, sections, events, state], sort_keys=True).encode()).hexdigest()


def history_bundle(config: Config, plan: HistoryPlan, digest: str, folder: Path, progress: Callable[[str, int], None]) -> Path:
    """The bundle with `columns.parquet` and `state/`; made now, unless an earlier call made the same."""
    path = folder / f"history-{digest[:16]}"
    if not Bundle.is_complete(path):
        log = LogFiles(config.log.source, plan.needed, config.log.join)
        events = {source: LogFiles(source, plan.needed_of(source)).slices() for source in _sources(config)}
        state = Path(config.log.history_state) if config.log.history_state is not None else None
        with Bundle.create(path, "history_columns", replace=True) as bundle:
            build_history(plan, log.slices(), events, bundle.path, state, lambda rows: progress("history", rows))
    return path


def _sources(config: Config) -> list[str]:
    return sorted({source for entry in config.history.values() for source in entry.events if source != "log"})
