"""The other side of a comparison, on the judged rows of the first: another run, or a file of scores from any system."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.errors import ConfigError, DataError
from mtrec.evaluation.rows import JudgedRows
from mtrec.training.scoring import Scores

__all__ = ["rows_of_file", "rows_of_run"]


def rows_of_run(
    first: Mapping[str, JudgedRows], configs: tuple[Config, Config], scores: tuple[Scores, Scores], columns: tuple[pa.Table | None, pa.Table | None]
) -> dict[str, JudgedRows]:
    """The judged rows of the tasks that both runs have, with the second run's predictions.

    Args:
        first: the judged rows of the first run.
        configs, scores, columns: of the first run and of the second, the scores and raw columns of one split.

    Raises:
        DataError: if they share no task, or the judged rows differ: their places in the log, their raw columns, weights or labels.
    """
    shared = [name for name, task in configs[0].tasks.items() if name in configs[1].tasks and configs[1].tasks[name].kind == task.kind]
    if not shared:
        raise DataError("The two runs share no task", found=list(configs[1].tasks), expected=f"one of {', '.join(configs[0].tasks)}")
    _same("places in the log", scores[0].row, scores[1].row)
    _same("weights", scores[0].weight, scores[1].weight)
    if columns[0] is not None and columns[1] is not None:
        for name in columns[0].column_names:
            if name in columns[1].column_names and not columns[0][name].equals(columns[1][name]):
                raise DataError("The two runs were not judged on the same rows", where=f"column {name!r}")
    found = {}
    for name in shared:
        places = [list(config.tasks).index(name) for config in configs]
        masks = [each.mask[:, place] for each, place in zip(scores, places, strict=True)]
        _same(f"known labels of task `{name}`", masks[0], masks[1])
        _same(f"labels of task `{name}`", *(each.labels[masks[0], place] for each, place in zip(scores, places, strict=True)))
        found[name] = first[name]._replace(predictions=scores[1].predictions[masks[0], places[1]])
    return found


def rows_of_file(first: Mapping[str, JudgedRows], config: Config, scores: Scores, columns: pa.Table | None, path: Path) -> dict[str, JudgedRows]:
    """The judged rows of the tasks that a file scores, with its predictions, joined by the columns `log.roles.keys`.

    Args:
        path: a Parquet file with the key columns and one column a task, named by the task or, as `mtrec predict` writes it, `<task>.conditional`:
            a probability, or a value in the unit of the label.

    Raises:
        ConfigError: if the run has no key columns.
        DataError: if the file lacks columns or rows, repeats a key, or holds scores that are null.
    """
    keys = config.log.roles.keys
    if columns is None or not keys:
        raise ConfigError("Scores from a file are joined by key", where="log.roles.keys", expected="the columns that name a row", do="Name them.")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        raise DataError("The file of scores cannot be read", where=path, found=str(error).partition("\n")[0], expected="Parquet") from error
    named = {task: next((name for name in (task, f"{task}.conditional") if name in table.column_names), None) for task in config.tasks}
    lacking = [name for name in keys if name not in table.column_names]
    if lacking or not any(named.values()):
        expected = f"{', '.join(keys)} and a column for one of {', '.join(config.tasks)}"
        raise DataError("The file of scores lacks columns", where=path, found=table.column_names, expected=expected)
    theirs, ours = pl.DataFrame(table), pl.DataFrame(columns.select(keys))
    if num_twice := theirs.height - theirs.select(keys).unique().height:
        raise DataError("Keys stand twice in the file of scores", where=path, found=f"{num_twice} rows too many")
    joined = ours.join(theirs.with_columns(pl.lit(True).alias("\0found")), on=keys, how="left", maintain_order="left")
    if num_missing := joined["\0found"].null_count():
        raise DataError("The file of scores lacks judged rows", where=path, found=f"no score for {num_missing} of {ours.height} rows")
    found = {}
    for place, (task, name) in enumerate(named.items()):
        if name is not None:
            known = scores.mask[:, place]
            values = joined[name].cast(pl.Float64).filter(pl.Series(known))
            if num_null := values.null_count() + int(values.is_nan().sum() or 0):
                raise DataError("Scores are null", where=f"{path}, {name!r}", found=f"{num_null} of {len(values)} judged rows")
            found[task] = first[task]._replace(predictions=values.to_numpy())
    return found


def _same(what: str, first: NDArray[np.generic], second: NDArray[np.generic]) -> None:
    if not np.array_equal(first, second):
        do = "Compare runs of one log, split and sample."
        raise DataError("The two runs were not judged on the same rows", where=what, do=do)
