"""All metrics of all tasks with their intervals and slices: the `tasks` part of report.json."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from mtrec.config import Config
from mtrec.evaluation.bootstrap import draws_of, interval
from mtrec.evaluation.honest_window import void_reasons, what_features_see
from mtrec.evaluation.judged import judged_rows
from mtrec.evaluation.metric_set import Judgement, judgements
from mtrec.evaluation.metrics.metric import Metric, undefined
from mtrec.evaluation.rows import JudgedRows
from mtrec.evaluation.slices import Slices, slices_of
from mtrec.training.scoring import Scores

__all__ = ["SEED", "full_report", "is_void", "report_of"]

SEED = 0  # Of the bootstrap: the same rows have the same draws, whatever run judges them.


def report_of(scores: Scores, config: Config, columns: pa.Table | None) -> dict[str, Any]:
    """What a report says of scored rows: which feedback the features could see, if any is declared, and `tasks`, see `full_report`."""
    seen: dict[str, Any] = {"features_see": what_features_see(config)} if config.history else {}
    if columns is None and config.evaluation.group:
        seen["groups"] = "none: the raw columns of these rows are not kept"
    return {**seen, "tasks": full_report(scores, config, columns)}


def full_report(scores: Scores, config: Config, columns: pa.Table | None) -> dict[str, dict[str, Any]]:
    """The metrics of each task over the rows whose label is known, in the order of the tasks.

    Args:
        columns: raw columns of the scored rows, row for row; None where none are known: then there are no groups and no slices.

    Raises:
        DataError: a value that a metric refuses, or a column that cannot be grouped by; the task or column is named.
    """
    void = void_reasons(config, config)
    report: dict[str, dict[str, Any]] = {}
    slices = slices_of(columns, config) if columns is not None else {}
    for index, (name, rows) in enumerate(judged_rows(scores, config, columns).items()):
        kind, where, known = config.tasks[name].kind, f"task `{name}`", scores.mask[:, index]
        metrics = _with_intervals(kind, rows, _values(kind, rows, void, where), config.evaluation.bootstrap)
        report[name] = {"kind": kind, **_counts(kind, rows), **{metric: found.to_json() for metric, found in metrics.items()}}
        if slices:
            report[name]["slices"] = {column: _sliced(kind, rows, each, known, void, where) for column, each in slices.items()}
    return report


def is_void(judgement: Judgement, name: str, void: Mapping[str, str]) -> bool:
    """Whether a metric ranks within groups that the features see into; a mean of losses ranks nothing."""
    return judgement.by in void and name != "session_logloss"


def _counts(kind: str, rows: JudgedRows) -> dict[str, int]:
    counts = {"rows": len(rows.labels)}
    return counts | {"positives": int(np.count_nonzero(rows.labels))} if kind == "binary" else counts


def _values(kind: str, rows: JudgedRows, void: Mapping[str, str], where: str) -> dict[str, Metric]:
    return {
        name: undefined(void[each.by]) if is_void(each, name, void) else each.metric(each.rows(rows), where=where)
        for name, each in judgements(kind, rows).items()
    }


def _with_intervals(kind: str, rows: JudgedRows, found: dict[str, Metric], num_draws: int) -> dict[str, Metric]:
    """Intervals by the bootstrap for what has none of its own; metrics that are drawn by the same units are drawn together."""
    known = judgements(kind, rows)
    # An AUC of equal weights has an interval by itself, or none for a reason.
    wanted = [
        name for name, each in known.items() if each.statistic and found[name].value is not None and (name != "auc" or rows.weights is not None)
    ]
    found = dict(found)
    for by in dict.fromkeys(known[name].by for name in wanted):
        together = [name for name in wanted if known[name].by == by and found[name].low is None]
        if not together or not num_draws:
            continue
        mine = known[together[0]].rows(rows)
        units, num_units = known[together[0]].units(mine)
        draws = draws_of({name: known[name].statistic(mine, units, num_units) for name in together}, num_units, num_draws, SEED)  # type: ignore[misc]
        for name in together:
            if ends := interval(draws[name]):
                found[name] = found[name]._replace(low=ends[0], high=ends[1])
    return found


def _sliced(kind: str, rows: JudgedRows, slices: Slices, known: Any, void: Mapping[str, str], where: str) -> list[dict[str, Any]]:
    """The slices of a task, the worst first."""
    of_row = slices.of_row[known]
    entries = []
    for index, value in enumerate(slices.values):
        mine = rows.where(of_row == index)
        metrics = _values(kind, mine, void, f"{where}, {slices.column} = {value}")
        entries.append({"value": value, **_counts(kind, mine), **{name: found.to_json() for name, found in metrics.items()}})
    main, sign = ("auc", 1) if kind == "binary" else ("rmse", -1)
    return sorted(entries, key=lambda entry: (entry[main]["value"] is None, sign * (entry[main]["value"] or 0.0)))
