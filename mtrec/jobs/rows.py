"""The rows of a configuration's log as its features see them, declared histories and counters included."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from mtrec.config import Config
from mtrec.data.extended import ExtendedLog
from mtrec.data.log import LogFiles, available_columns
from mtrec.features.feature_set import FeatureSet, column_types
from mtrec.history.plan import HistoryPlan
from mtrec.history.sessions import SessionLinks
from mtrec.jobs.history import history_bundle, history_digest, plan_of_history

__all__ = ["Planned", "plan_rows"]


class Planned(NamedTuple):
    """A log whose columns were checked against its configuration; nothing is computed yet.

    Attributes:
        columns: all that the log and its joins have.
        features: not yet fitted.
        files: the rows, with the log's own columns that features, labels and splits read.
        plan: of the declared columns; None where none are declared.
        digest: of everything that the rows depend on.
    """

    columns: pa.Schema
    features: FeatureSet
    files: LogFiles
    plan: HistoryPlan | None
    digest: str

    def rows(self, config: Config, folder: Path, progress: Callable[[str, int], None]) -> tuple[LogFiles | ExtendedLog, Path | None]:
        """The rows with the declared columns that features read, and where those columns and the state after the last row are kept."""
        if self.plan is None:
            return self.files, None
        path = history_bundle(config, self.plan, self.digest, folder, progress)
        names = [name for name in self.plan.columns.names if name in self.features.input_columns]
        return ExtendedLog(self.files, path / "columns.parquet", names), path

    def links(self, config: Config, folder: Path) -> SessionLinks | None:
        """What learns which row follows which, where training goes through sessions."""
        return SessionLinks(config.log, folder) if config.needs_sessions else None


def plan_rows(config: Config) -> Planned:
    """Read the columns of a log, and check features and declarations against them."""
    columns = available_columns(config.log.source, config.log.join)
    plan = plan_of_history(config, columns)
    added = column_types(plan.columns) if plan is not None else {}
    features = FeatureSet.build(config.features, config.candidates(column_types(columns) | added))
    judged_by = [name for name in config.columns_for_evaluation() if name in columns.names or name not in config.log.roles.named()]
    beside = [*config.columns_beside_features(), *config.columns_of_sessions(), *judged_by]
    needed = [name for name in [*features.input_columns, *beside] if name not in added]
    files = LogFiles(config.log.source, needed, config.log.join)
    return Planned(columns, features, files, plan, files.digest() if plan is None else history_digest(config, plan, files.digest()))
