"""The days of a log, and the rows of one of them."""

from collections.abc import Sequence
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.data.log import LogFiles
from mtrec.errors import ConfigError, DataError
from mtrec.evaluation.judged import dates
from mtrec.evaluation.served import Scored
from mtrec.history.times import instants, is_time
from mtrec.schema import Split
from mtrec.training.scoring import Scores

__all__ = ["days_of_log", "first_and_last", "on_day", "rows_of", "split_at"]


def days_of_log(config: Config) -> list[date]:
    """The days that have rows, in the zone of the log, in order; the time column is read once, in slices.

    Raises:
        ConfigError: if the log is not split by time.
        DataError: if a row has no time.
    """
    if config.log.split.by != "time":
        do = "Set by: time with valid_from and test_from: a backtest moves both from day to day."
        raise ConfigError("Only a log that is split by time can be tested day after day", where="log.split.by", found=config.log.split.by, do=do)
    days = set[date]()
    for table in LogFiles(config.log.source, [_clock(config)], config.log.join).slices():
        days.update(_dates(table, config).unique().to_pylist())
    return sorted(days)


def first_and_last(columns: pa.Table | None, config: Config) -> list[str]:
    """The first and the last day of some rows as text, times as they are stored where they are no instants; nothing where none are kept."""
    clock = config.log.roles.time
    if columns is None or clock is None or clock not in columns.column_names or not is_time(columns[clock].type):
        return []
    ends = [end for end in pc.min_max(columns[clock]).values() if end.is_valid]
    if len(ends) < 2:
        return []
    try:
        days = dates(instants(pa.array(ends, type=columns[clock].type), config.log.time, clock), config.log.time.zone)
    except DataError:  # What else is in the column: it may be no instants to anyone but its owner.
        return [str(end) for end in ends]
    return [str(day) for day in days.to_pylist()]


def split_at(config: Config, valid: date, test: date, folder: str) -> Config:
    """The configuration of a run of its own, in RUN/<folder>: it trains on the days before `valid`, chooses on that day, judges from `test` on."""
    split = Split(by="time", valid_from=valid.isoformat(), test_from=test.isoformat())
    name, run_dir = f"{config.name}-{test.isoformat()}", str(config.run_path / folder)
    return config.model_copy(update={"name": name, "run_dir": run_dir, "log": config.log.model_copy(update={"split": split})})


def on_day(scored: Scored, day: date, config: Config) -> Scored:
    """Of scored rows those of a day.

    Raises:
        DataError: if their times are not kept, or none is of that day.
    """
    mine = rows_of(scored.columns, [day], config)[0]
    assert scored.columns is not None
    if not mine.any():
        raise DataError("No judged row is of that day", found=day.isoformat(), do="Remove the run's folder: the log was another one.")
    return Scored(Scores(*(column[mine] for column in scored.scores)), scored.columns.filter(pa.array(mine)))  # type: ignore[arg-type]


def rows_of(columns: pa.Table | None, days: Sequence[date], config: Config) -> list[NDArray[np.bool_]]:
    """For each day, which rows are of it, [rows].

    Raises:
        DataError: if their times are not kept.
    """
    if columns is None:
        raise DataError("The times of the judged rows are not kept", where=_clock(config), do="Remove the run's folder and train it again.")
    found = np.asarray(_dates(columns, config))
    return [found == np.datetime64(day) for day in days]


def _clock(config: Config) -> str:
    assert config.log.roles.time is not None  # A split by time has one.
    return config.log.roles.time


def _dates(table: pa.Table, config: Config) -> pa.Array:
    time, clock = config.log.time, _clock(config)
    return dates(instants(table[clock].combine_chunks(), time, clock), time.zone)
