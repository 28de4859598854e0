"""The scored rows of a split, or of another log, with the raw columns that they are judged by."""

import tempfile
from pathlib import Path

from mtrec import ranks
from mtrec.evaluation.judged import columns_of_log
from mtrec.evaluation.served import Scored
from mtrec.jobs.load import Loaded
from mtrec.jobs.raw_rows import later_log
from mtrec.training.scoring import SCORING_ROWS, score, score_log

__all__ = ["scored", "scored_log"]


def scored(loaded: Loaded, split: str) -> Scored:
    """All rows of a split."""
    reader = loaded.prepared.reader(split, SCORING_ROWS, **ranks.share())
    return Scored(score(loaded.model, reader), loaded.prepared.columns(split))


def scored_log(loaded: Loaded, log: list[str]) -> tuple[Scored, str]:
    """All rows of the files of another log, and their digest."""
    config = loaded.config
    needed = [*loaded.features.input_columns, *(task.label.column for task in config.tasks.values()), *config.log.roles.weighing]
    with tempfile.TemporaryDirectory() as scratch:
        files = later_log(log, needed, config, loaded.prepared.history, Path(scratch))
        return Scored(score_log(loaded.model, loaded.features, files, config.tasks, config.log.roles), columns_of_log(log, config)), files.digest()
