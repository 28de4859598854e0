"""How well a score ranks all rows, by what happened: AUC, GAUC and NDCG@10 for each binary task, and NDCG@10 of the gain of all outcomes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.evaluation.full_report import is_void
from mtrec.evaluation.honest_window import void_reasons
from mtrec.evaluation.judged import groups_of_rows
from mtrec.evaluation.metric_set import METRICS, K
from mtrec.evaluation.metrics.graded_ndcg import graded_ndcg
from mtrec.evaluation.metrics.metric import Metric, undefined
from mtrec.evaluation.outcomes import Outcome, outcomes_of
from mtrec.evaluation.rows import JudgedRows
from mtrec.training.scoring import Scores

__all__ = ["RankedRows", "ranking_report"]

RANKING = ("auc", "gauc_impressions", f"ndcg_{K}")
Values = NDArray[np.float32]


class RankedRows(NamedTuple):
    """Rows that scores are to rank.

    Attributes:
        outcomes: of each task.
        kinds: of each task.
        weights, groups: [rows], or None.
        void: why ranking within the groups says nothing, by `groups`; see `void_reasons`.
    """

    outcomes: Mapping[str, Outcome]
    kinds: Mapping[str, str]
    weights: NDArray[np.float32] | None
    groups: NDArray[np.int64] | None
    void: Mapping[str, str]

    @classmethod
    def of(cls, scores: Scores, config: Config, columns: pa.Table | None) -> "RankedRows":
        """From scored rows and their raw columns."""
        groups = groups_of_rows(columns, config.evaluation.group, config) if columns is not None and config.evaluation.group else None
        kinds = {name: task.kind for name, task in config.tasks.items()}
        weights = scores.weight if config.log.weighs else None
        return cls(outcomes_of(scores, config.tasks), kinds, weights, groups, void_reasons(config, config))

    @property
    def binary(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind == "binary"]

    def figure(self, metric: str, score: Values, task: str) -> Metric:
        """A metric of `METRICS` over the rows whose outcome is known."""
        judgement = METRICS["binary"][metric]
        if judgement.by != "rows" and self.groups is None:
            return undefined("no groups: set evaluation.group")
        if is_void(judgement, metric, self.void):
            return undefined(self.void[judgement.by])
        rows = JudgedRows(score, self.outcomes[task].values, self.weights, self.groups).where(self.outcomes[task].known)
        return judgement.metric(judgement.rows(rows), where=f"score, task `{task}`")


def ranking_report(rows: RankedRows, score: Values, weights: Mapping[str, float]) -> dict[str, Any]:
    """The figures of a score: `tasks`, and under `gain` the NDCG where a row is worth the weighted sum of its outcomes.

    Args:
        score: [rows].
        weights: of the outputs in it, by name; both outputs of a task that is given another are worth what happened.
    """
    tasks = {task: {metric: rows.figure(metric, score, task).to_json() for metric in RANKING} for task in rows.binary}
    return {"weights": dict(weights), "tasks": tasks, "gain": {f"ndcg_{K}": _gain(rows, score, weights).to_json()}}


def _gain(rows: RankedRows, score: Values, weights: Mapping[str, float]) -> Metric:
    if rows.groups is None:
        return undefined("no groups: set evaluation.group")
    if "groups" in rows.void:
        return undefined(rows.void["groups"])
    parts = [(weight, rows.outcomes[output.partition(".")[0]]) for output, weight in weights.items()]
    known = np.logical_and.reduce([outcome.known for _, outcome in parts]) & (rows.groups >= 0)
    gain = np.sum([weight * outcome.values for weight, outcome in parts], axis=0)
    return graded_ndcg(score[known], gain[known], rows.groups[known], K, where="score")
