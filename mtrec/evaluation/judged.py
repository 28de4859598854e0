"""From scores and raw columns to the judged rows of each task, in their groups and sessions."""

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.data.log import LogFiles, available_columns
from mtrec.errors import DataError
from mtrec.evaluation.rows import JudgedRows
from mtrec.history.keys import number_keys
from mtrec.history.times import day_starts, instants
from mtrec.training.scoring import Scores

__all__ = ["column_of_rows", "columns_of_log", "dates", "groups_of_rows", "judged_rows"]


def judged_rows(scores: Scores, config: Config, columns: pa.Table | None) -> dict[str, JudgedRows]:
    """The rows of each task whose label is known, with groups and sessions where the configuration and the columns have them.

    Args:
        columns: raw columns of the scored rows, row for row; None where none are known.

    Raises:
        DataError: if scores and columns differ in their number of rows, or a column cannot make groups.
    """
    if columns is not None and columns.num_rows != len(scores.row):
        raise DataError("Scores and columns are not of the same rows", found=columns.num_rows, expected=len(scores.row))
    weights = scores.weight if config.log.weighs else None
    groups = groups_of_rows(columns, config.evaluation.group, config) if columns is not None and config.evaluation.group else None
    has_sessions = columns is not None and config.log.roles.session in columns.column_names
    sessions = groups_of_rows(columns, ["session"], config) if columns is not None and has_sessions else None
    whole = [
        JudgedRows(scores.predictions[:, task], scores.labels[:, task], weights, groups, sessions).where(scores.mask[:, task])
        for task in range(len(config.tasks))
    ]
    return dict(zip(config.tasks, whole, strict=True))


def columns_of_log(files: list[str], config: Config) -> pa.Table | None:
    """The raw columns of all rows of another log by which they can be judged; None if it has none of them.

    Raises:
        DataError: if the files cannot be read.
    """
    there = available_columns(files, config.log.join).names
    names = [name for name in config.columns_for_evaluation() if name in there]
    return pa.concat_tables(LogFiles(files, names, config.log.join).slices()) if names else None


def groups_of_rows(columns: pa.Table, names: Sequence[str], config: Config) -> NDArray[np.int64]:
    """The number of each row's group, [rows]; a number of its own below 0 where any of the columns is null.

    Args:
        names: as in `evaluation.group`.

    Raises:
        DataError: if a column is not there, or cannot make groups.
    """
    numbers, _ = number_keys([column_of_rows(columns, name, config) for name in names], columns.num_rows)
    return np.where(numbers < 0, -1 - np.arange(columns.num_rows), numbers)


def column_of_rows(columns: pa.Table, name: str, config: Config) -> pa.ChunkedArray:
    """A column by its name in `evaluation`; `day` is the date of each row in the zone of the log.

    Raises:
        DataError: if it is not there, or holds lists.
    """
    column = config.column_of(name)
    where = f"evaluation, {name!r}"
    if column not in columns.column_names:
        raise DataError("Rows cannot be grouped by a column that is not kept", where=where, found=columns.column_names, expected=column)
    found = columns[column]
    if name == "day" and column != "day":
        return pa.chunked_array([dates(instants(found.combine_chunks(), config.log.time, column), config.log.time.zone)])
    if pa.types.is_nested(found.type):
        raise DataError("Rows cannot be grouped by lists", where=where, found=found.type)
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    return pc.if_else(pc.is_nan(found), None, found) if pa.types.is_floating(found.type) else found


def dates(times: NDArray[np.int64], zone: str) -> pa.Array:
    """The date of each instant, as calendars in a zone have it. [rows]"""
    starts, day = np.unique(day_starts(times, zone), return_inverse=True)
    dates = [datetime.fromtimestamp(start // 10**9, ZoneInfo(zone)).date() for start in starts.tolist()]
    return pa.array(dates, type=pa.date32()).take(pa.array(day))
