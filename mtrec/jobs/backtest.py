"""`mtrec backtest`: train to a day, judge on the next one, move on by a day."""

from collections.abc import Callable
from datetime import date
from itertools import pairwise
from typing import Any

from mtrec.config import Config
from mtrec.errors import ConfigError, DataError
from mtrec.evaluation.backtest_report import write_backtest
from mtrec.evaluation.days import days_of_log, on_day, split_at
from mtrec.evaluation.full_report import report_of
from mtrec.jobs.load import load_run
from mtrec.jobs.scored import scored
from mtrec.jobs.train import train

__all__ = ["backtest"]


def backtest(config: Config, num_days: int, progress: Callable[[str, int], None] = lambda stage, rows: None) -> dict[str, Any]:
    """Judge the last days of a log, each by a model that knows only the days before it; the report is written as RUN/backtest.json and .html.

    For each day, the day with rows before it is valid and all earlier ones are train. Each model is trained anew, as a run of its own in
    RUN/backtest/<date>: what was stopped goes on there, and a finished day is not trained again. Features are fitted to the train rows of each, so
    weights of an earlier day fit no later one. Declared histories are computed once for all days; prepared rows, in RUN/backtest/prepared, are
    written for each. The runs' own reports judge all rows from their day on, this one the day alone.

    Args:
        progress: called with the day and stage ("2026-07-01 train") and the rows just done.

    Raises:
        ConfigError: if no day is asked for, or the log is not split by time.
        DataError: if the log has not as many days, and two before them.
    """
    if num_days < 1:
        raise ConfigError("A backtest judges at least one day", where="--days", found=num_days)
    days = days_of_log(config)
    if len(days) < num_days + 2:
        raise DataError("The log has too few days", where="--days", found=f"{len(days)} days with rows", expected=f"{num_days} and two before them")
    judged = [_judged(config, *pair, progress) for pair in list(pairwise(days))[-num_days:]]
    report = {"format": 1, "name": config.name, "zone": config.log.time.zone, "days": judged}
    write_backtest(config.run_path, report)
    return report


def _judged(config: Config, valid: date, test: date, progress: Callable[[str, int], None]) -> dict[str, Any]:
    config = split_at(config, valid, test)
    run = train(config, lambda stage, rows: progress(f"{test} {stage}", rows))
    loaded = load_run(run.path)
    rows = on_day(scored(loaded, "test"), test, loaded.config)
    return {"day": test.isoformat(), "valid": valid.isoformat(), "run": str(run.path), **report_of(rows.scores, config, rows.columns)}
