"""What `mtrec evaluate` found, told to the MLflow run of a run that is tracked."""

from typing import Any

from mtrec.data.split import SPLITS
from mtrec.evaluation.figures import figures
from mtrec.jobs.load import Loaded
from mtrec.training.stopping import REPORT_FILES
from mtrec.training.tracking import reopen_tracker

__all__ = ["tell"]


def tell(loaded: Loaded, report: dict[str, Any]) -> None:
    """Log the figures of a report as `<split>/<task>/<metric>`, or `log/...` of another log, and its files.

    How the run ended stays as it was, and a store that is away stops nothing.
    """
    run, config, history = loaded.run, loaded.config, loaded.run.history()
    where = report["split"] if report["split"] in SPLITS else "log"
    tracker = reopen_tracker(config.tracking, run.path, config.name)
    tracker.log_metrics({f"{where}/{name}": value for name, value in figures(report).items()}, history[-1]["step"] if history else 0)
    for name in REPORT_FILES:
        tracker.log_file(run.path / name)
    tracker.close()
