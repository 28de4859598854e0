"""`mtrec backtest`: train to a day, judge on the next one, move on by a day."""

from collections.abc import Callable
from functools import partial
from typing import Any

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.errors import ConfigError, DataError
from mtrec.evaluation.backtest_report import write_backtest
from mtrec.evaluation.days import days_of_log, on_day
from mtrec.evaluation.full_report import report_of
from mtrec.jobs.days import cold_day, refuse_phases, warm_day
from mtrec.jobs.scored import scored
from mtrec.training.run import RunDirectory

__all__ = ["backtest"]


def backtest(config: Config, num_days: int, progress: Callable[[str, int], None] = lambda stage, rows: None, warm: bool = False) -> dict[str, Any]:
    """Judge the last days of a log, each by a model that knows only the days before it; the report is written as RUN/backtest.json and .html.

    For each day, the day with rows before it is valid and all earlier ones are train. Each model is trained anew, as a run of its own in
    RUN/backtest/<date>, on features that are fitted to its train rows; or with `warm` it goes on from the one before, in
    RUN/backtest-warm/<date>-<what it begins with>, see `warm_day`. What was stopped goes on there, and a finished day is not trained again. Declared
    histories are computed once for all days; prepared rows, in RUN/backtest/prepared, are written for each. This report judges each day alone; the
    runs' own judge all rows from their day on, but for those that went on from another.

    Args:
        progress: called with the day and stage ("2026-07-01 train") and the rows just done.
        warm: train anew for the first day only. The report is RUN/backtest-warm.json and .html.

    Raises:
        ConfigError: if no day is asked for, the log is not split by time, or a model cannot go on.
        DataError: if the log has not as many days, and two before them.
    """
    if num_days < 1:
        raise ConfigError("A backtest judges at least one day", where="--days", found=num_days)
    if warm:
        refuse_phases(config)
    days = days_of_log(config)
    if len(days) < num_days + 2:
        raise DataError("The log has too few days", where="--days", found=f"{len(days)} days with rows", expected=f"{num_days} and two before them")
    judged, last = [], days[-num_days - 2 :]
    done: tuple[Prepared, RunDirectory] | None = None  # The prepared log of the first day, and the run of the last one.
    for trained, valid, test in zip(last, last[1:], last[2:], strict=False):
        told = partial(_told, progress, f"{test} ")
        loaded = warm_day(config, *done, (trained, valid, test), told) if warm and done else cold_day(config, valid, test, told)
        done = (done[0] if done else loaded.prepared, loaded.run)
        run, found = str(loaded.run.path), on_day(scored(loaded, "test"), test, config)
        judged.append({"day": test.isoformat(), "valid": valid.isoformat(), "run": run, **report_of(found.scores, config, found.columns)})
        del loaded  # Its model and tables make room for the next one's.
    report = {"format": 1, "name": config.name, "warm": warm, "zone": config.log.time.zone, "days": judged}
    write_backtest(config.run_path, report)
    return report


def _told(progress: Callable[[str, int], None], day: str, stage: str, rows: int) -> None:
    progress(f"{day}{stage}", rows)
