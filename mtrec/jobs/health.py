"""The health of a run's model on a split."""

from typing import Any

from mtrec import ranks
from mtrec.evaluation.health.look import BATCH_ROWS, health_report
from mtrec.jobs.load import Loaded

__all__ = ["health_of"]


def health_of(loaded: Loaded, split: str, log: list[str] | None) -> dict[str, Any]:
    """The part `health` of a report of a split; nothing for another log, whose rows are not prepared. Of several ranks all must call it."""
    if log:
        return {}
    reader = loaded.prepared.reader(split, BATCH_ROWS, **ranks.share())
    return {"health": health_report(loaded.model, reader, loaded.config.tasks, split, loaded.run.history())}
