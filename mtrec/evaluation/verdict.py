"""Whether a task gains or loses by sharing a model with others: paired differences over seeds, an interval, one of three words.

The words are for the interval, not for the mean: a task is called hurt, or helped, only where the whole 95 % interval lies on that side of 0.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import stdev
from typing import Any

import numpy as np
from scipy.special import expit

from mtrec.config import Config
from mtrec.evaluation.judge import judge
from mtrec.training.scoring import Scores

__all__ = ["LEAST_SEEDS", "judge_uncalibrated", "mean_and_interval", "verdict", "verdicts"]

LEAST_SEEDS = 3
METRIC = {"binary": "auc", "regression": "rmse"}


def mean_and_interval(values: Sequence[float]) -> tuple[float, float, float] | None:
    """The mean and the 95 % interval of Student's t; None of fewer than two values, or of values that are all the same."""
    from scipy.stats import t as student  # Slow to import.

    if len(values) < 2 or (error := stdev(values) / math.sqrt(len(values))) == 0:
        return None
    mean, half = math.fsum(values) / len(values), float(student.ppf(0.975, len(values) - 1)) * error
    return mean, mean - half, mean + half


def verdict(gains: Sequence[float]) -> dict[str, Any]:
    """What differences say, one a seed, above 0 where the task is better off together: mean `gain`, `low`, `high`, and the word.

    >>> verdict([0.010, 0.011, 0.012])["verdict"], verdict([-0.1, 0.2, 0.1])["verdict"]
    ('helped', 'no evidence')
    """
    found = mean_and_interval(gains)
    if found is None:
        return {"gain": math.fsum(gains) / len(gains) if gains else None, "verdict": "no evidence"}
    mean, low, high = found
    return {"gain": mean, "low": low, "high": high, "verdict": "helped" if low > 0 else "hurt" if high < 0 else "no evidence"}


def verdicts(together: Sequence[Mapping[str, Any]], alone: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """For each task the verdict on its AUC, or RMSE of a regression, of which lower is better: the gain is the fall.

    Args:
        together: the `tasks` part of a report of the model of all tasks, for each seed.
        alone: of each task, the `tasks` part of a report of its single-task twin, for each seed in the same order.
    """
    found: dict[str, dict[str, Any]] = {}
    for task, twins in alone.items():
        metric = METRIC[together[0][task]["kind"]]
        pairs = [(first[task][metric], second[task][metric]) for first, second in zip(together, twins, strict=True)]
        reasons = [each["reason"] for pair in pairs for each in pair if each["value"] is None]
        values = [(first["value"], second["value"]) for first, second in pairs]
        found[task] = {"metric": metric, "together": [first for first, _ in values], "alone": [second for _, second in values]}
        if reasons:
            found[task] |= {"gain": None, "reason": reasons[0], "verdict": "no evidence"}
        else:
            found[task] |= verdict([first - second if metric == "auc" else second - first for first, second in values])
    return found


def judge_uncalibrated(scores: Scores, config: Config) -> dict[str, dict[str, Any]]:
    """The metrics of scored rows, binary tasks by their logits alone: the steps of a calibration make ties, and twins have none."""
    is_binary = [task.kind == "binary" for task in config.tasks.values()]
    return judge(scores._replace(predictions=np.where(is_binary, expit(scores.logits), scores.predictions)), config)
