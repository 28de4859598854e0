"""Two models on the same judged rows: the difference in each metric of each task, its interval, and what chance alone would give.

Both models are judged on the same rows, so that what makes rows hard moves both alike and drops out. AUC differences have DeLong's error; all others
that of the bootstrap, in which both models are drawn with the same units. Interval and p-value take the difference for normal, which it nears as
rows grow. p-values are Holm-corrected over the tasks, metric by metric. All of this says how the difference would move with other test rows,
not with another seed of training: for that see `compare_seeds`.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist, stdev
from typing import Any

import numpy as np

from mtrec.errors import DataError
from mtrec.evaluation.bootstrap import draws_of
from mtrec.evaluation.full_report import SEED
from mtrec.evaluation.holm import holm
from mtrec.evaluation.metric_set import Judgement, judgements
from mtrec.evaluation.metrics.delong import auc_difference
from mtrec.evaluation.rows import JudgedRows

__all__ = ["ROWS_ONLY", "SEEDS_ONLY", "compare_rows", "compare_seeds", "compare_task"]

# What intervals cover, as a report tells it.
ROWS_ONLY = "Intervals cover the choice of judged rows only, not that of the seed of training: give lists of runs for that."
SEEDS_ONLY = "Intervals cover the seed of training only, on these judged rows: the mean over pairs of runs with one seed, Student's t."

QUANTILE = NormalDist().inv_cdf(0.975)
Differences = dict[str, dict[str, Any]]


def compare_rows(
    kinds: Mapping[str, str], first: Mapping[str, JudgedRows], second: Mapping[str, JudgedRows], void: Mapping[str, str], num_draws: int
) -> dict[str, Differences]:
    """The differences, first less second, by task and metric, with p-values that are corrected over the tasks.

    Args:
        kinds: the kind of each task.
        first, second: the judged rows of each task, the same in both but for the predictions.
        void: why metrics within groups or sessions say nothing, as `void_reasons` gives them.
        num_draws: of the bootstrap; with 0, only the AUC has intervals.

    Raises:
        DataError: if labels, weights or groups of a task differ.
    """
    found = {task: compare_task(kind, first[task], second[task], void, num_draws, f"task `{task}`") for task, kind in kinds.items()}
    return _corrected(found)


def compare_task(kind: str, first: JudgedRows, second: JudgedRows, void: Mapping[str, str], num_draws: int, where: str) -> Differences:
    """The difference in each metric of one task: both values, `difference`, and where they are known `low`, `high` and `p`.

    Raises:
        DataError: if labels, weights or groups differ.
    """
    for name, a, b in zip(JudgedRows._fields[1:], first[1:], second[1:], strict=True):
        if not (a is b or (a is not None and b is not None and np.array_equal(a, b))):
            raise DataError("The two models were not judged on the same rows", where=f"{where}, {name}")
    known = judgements(kind, first)
    found = {name: _values(each, first, second, void.get(each.by) if name != "session_logloss" else None, where) for name, each in known.items()}
    errors = _errors(known, found, first, second, num_draws)
    for name, difference in found.items():
        if "difference" in difference and name in errors:
            difference |= _tested(difference["difference"], errors[name])
    return found


def _values(judgement: Judgement, first: JudgedRows, second: JudgedRows, void: str | None, where: str) -> dict[str, Any]:
    if void is not None:
        return {"first": None, "second": None, "reason": void}
    a, b = (judgement.metric(judgement.rows(rows), where=where) for rows in (first, second))
    if a.value is None or b.value is None:
        return {"first": a.value, "second": b.value, "reason": a.reason or b.reason}
    return {"first": a.value, "second": b.value, "difference": a.value - b.value}


def _errors(
    known: Mapping[str, Judgement], found: Mapping[str, dict[str, Any]], first: JudgedRows, second: JudgedRows, num_draws: int
) -> dict[str, float]:
    """The standard error of each difference that has one."""
    errors: dict[str, float] = {}
    wanted = [name for name, each in known.items() if each.statistic is not None and "difference" in found[name]]
    weight = first.weight
    if "auc" in wanted and (weight == weight[0]).all():
        wanted.remove("auc")
        delong = auc_difference(first.predictions, second.predictions, first.labels)
        found["auc"]["difference"] = delong.value  # To the last bit, which the difference of two means is not.
        errors |= {} if delong.error is None else {"auc": delong.error}
    for by in dict.fromkeys(known[name].by for name in wanted) if num_draws else ():
        together = [name for name in wanted if known[name].by == by]
        a, b = (known[together[0]].rows(rows) for rows in (first, second))
        units, num_units = known[together[0]].units(a)
        pairs = {(name, side): known[name].statistic(rows, units, num_units) for name in together for side, rows in enumerate((a, b))}  # type: ignore[misc]
        draws = draws_of(pairs, num_units, num_draws, SEED)
        for name in together:
            differences = draws[name, 0] - draws[name, 1]
            differences = differences[~np.isnan(differences)]
            if len(differences) >= max(2, 0.95 * num_draws):
                errors[name] = float(differences.std(ddof=1))
    return errors


def _tested(difference: float, error: float) -> dict[str, float]:
    if error == 0:
        # No draw moves it: two models that say the same, or differ in the same way whatever is drawn.
        return {"low": difference, "high": difference, "p": 1.0} if difference == 0 else {}
    p = math.erfc(abs(difference) / error / math.sqrt(2))
    return {"low": difference - QUANTILE * error, "high": difference + QUANTILE * error, "p": p}


def compare_seeds(pairs: Sequence[dict[str, Differences]]) -> dict[str, Differences]:
    """The mean difference over pairs of runs that were trained with the same seed, with Student's t interval over the pairs.

    This is what training again with other seeds would move, on these test rows.

    Args:
        pairs: at least two results of `compare_rows`, one a seed.
    """
    found: dict[str, Differences] = {}
    for task, metrics in pairs[0].items():
        found[task] = {metric: _over_seeds([pair[task][metric] for pair in pairs]) for metric in metrics}
    return _corrected(found)


def _over_seeds(differences: list[dict[str, Any]]) -> dict[str, Any]:
    from scipy.stats import t as student  # Slow to import, and needed here alone.

    if lacking := [each["reason"] for each in differences if "difference" not in each]:
        return {"first": None, "second": None, "reason": lacking[0]}
    values = [each["difference"] for each in differences]
    count, mean = len(values), math.fsum(values) / len(values)
    found = {side: math.fsum(each[side] for each in differences) / count for side in ("first", "second")}
    found |= {"difference": mean, "seeds": count}
    error = stdev(values) / math.sqrt(count)
    if error == 0:
        return found | _tested(mean, 0.0)
    half = float(student.ppf(0.975, count - 1)) * error
    return found | {"low": mean - half, "high": mean + half, "p": 2 * float(student.sf(abs(mean) / error, count - 1))}


def _corrected(found: dict[str, Differences]) -> dict[str, Differences]:
    for metric in dict.fromkeys(metric for each in found.values() for metric in each):
        tested = [each[metric] for each in found.values() if "p" in each.get(metric, {})]
        for difference, corrected in zip(tested, holm([each["p"] for each in tested]), strict=True):
            difference["p_corrected"] = corrected
    return found
