"""`mtrec check`: look at a log through its configuration before anything is trained on it."""

from collections.abc import Callable

from mtrec.config import Config
from mtrec.data.log import LogFiles, available_columns
from mtrec.inspection.inputs import Inputs
from mtrec.inspection.inspect import inspect
from mtrec.inspection.report import Report
from mtrec.jobs.rows import plan_rows

__all__ = ["check"]


def check(config: Config, progress: Callable[[str, int], None] = lambda stage, rows: None) -> Report:
    """The report of a configuration's log; `report.refuse_leaks()` makes an error of leaks. Declared histories are computed first, and kept.

    Args:
        progress: called with the pass ("check") and the rows just done.

    Raises:
        DataError: if the log cannot be read as the configuration says.
    """
    if not config.history:
        columns = available_columns(config.log.source, config.log.join)
        log = LogFiles(config.log.source, Inputs(config, columns).columns, config.log.join)
        return inspect(log, config, [name for name in columns.names if name not in log.needed], config.evaluation.group, progress)
    found = plan_rows(config)
    assert found.plan is not None
    rows, _ = found.rows(config, config.prepared_folder, progress)
    read = {*found.files.needed, *found.plan.needed}
    return inspect(rows, config, [name for name in found.columns.names if name not in read], config.evaluation.group, progress)
