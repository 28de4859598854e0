"""Which metrics a task is judged by: their names in a report, what they need, and how each is computed and drawn.

`auc` has DeLong's interval, or the bootstrap's where rows have unequal weights; all others have the bootstrap's, but for `ece_equal_count` and
`xauc`, which have none. NDCG and recall do not know weights. `session_auc` is the macro GAUC of sessions. Rows without a group or session, whose
number is below 0, do not count in what is ranked or averaged within these.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np

from mtrec.evaluation import statistics
from mtrec.evaluation.bootstrap import Statistic, units_of_rows
from mtrec.evaluation.metrics.auc import auc
from mtrec.evaluation.metrics.ece import ece
from mtrec.evaluation.metrics.gauc import Mean, gauc, group_aucs
from mtrec.evaluation.metrics.log_loss import log_loss
from mtrec.evaluation.metrics.mae import mae
from mtrec.evaluation.metrics.metric import Metric
from mtrec.evaluation.metrics.normalised_entropy import normalised_entropy
from mtrec.evaluation.metrics.pr_auc import pr_auc
from mtrec.evaluation.metrics.predicted_over_actual import predicted_over_actual
from mtrec.evaluation.metrics.r2 import r2
from mtrec.evaluation.metrics.rmse import rmse
from mtrec.evaluation.metrics.session_log_loss import session_log_loss, session_losses
from mtrec.evaluation.metrics.top_k import ndcg, ndcg_by_group, recall, recall_by_group
from mtrec.evaluation.metrics.xauc import xauc
from mtrec.evaluation.rows import JudgedRows

__all__ = ["METRICS", "Judgement", "judgements"]

K = 10


class Judgement(NamedTuple):
    """A metric of a task.

    Attributes:
        metric: from the rows, with `where`.
        statistic: from the rows, the unit of each and the number of units; None where there is no interval.
        better: whether high or low values are good; `one` where it is good to be near 1.
        by: what its rows are ranked or averaged within, and drawn by.
    """

    metric: Callable[..., Metric]
    statistic: Callable[..., Statistic] | None
    better: Literal["high", "low", "one"]
    by: Literal["rows", "groups", "sessions"] = "rows"

    def rows(self, rows: JudgedRows) -> JudgedRows:
        """Those that count."""
        keys = {"rows": None, "groups": rows.groups, "sessions": rows.sessions}[self.by]
        return rows if keys is None or (keys >= 0).all() else rows.where(keys >= 0)

    def units(self, rows: JudgedRows) -> tuple[Any, int]:
        """The unit of each row that counts, and how many units there are."""
        return units_of_rows(rows.sessions if self.by == "sessions" else rows.groups, len(rows.labels))


def _of_rows(metric: Callable[..., Metric]) -> Callable[..., Metric]:
    return lambda rows, where=None: metric(rows.predictions, rows.labels, rows.weights, where=where)


def _gauc(mean: Mean, by: Literal["groups", "sessions"]) -> Judgement:
    def value(rows: JudgedRows, where: object = None) -> Metric:
        return gauc(rows.predictions, rows.labels, getattr(rows, by), rows.weights, mean=mean, where=where)

    def statistic(rows: JudgedRows, units: Any, num_units: int) -> Statistic:
        found = group_aucs(rows.predictions, rows.labels, getattr(rows, by), rows.weights)
        return statistics.gauc_statistic(found, mean, np.searchsorted(np.unique(getattr(rows, by)), found.groups), num_units)

    return Judgement(value, statistic, "high", by)


def _top_k(metric: Callable[..., Metric], by_group: Callable[..., Any]) -> Judgement:
    def statistic(rows: JudgedRows, units: Any, num_units: int) -> Statistic:
        found = by_group(rows.predictions, rows.labels, rows.groups, K)
        return statistics.mean_statistic(found.values, np.arange(num_units), num_units)

    return Judgement(lambda rows, where=None: metric(rows.predictions, rows.labels, rows.groups, K, where=where), statistic, "high", "groups")


def _session_log_loss() -> Judgement:
    def value(rows: JudgedRows, where: object = None) -> Metric:
        assert rows.sessions is not None
        return session_log_loss(rows.predictions, rows.labels, rows.sessions, rows.weights, where=where)

    def statistic(rows: JudgedRows, units: Any, num_units: int) -> Statistic:
        assert rows.sessions is not None
        found = session_losses(rows.predictions, rows.labels, rows.sessions, rows.weights)
        return statistics.mean_statistic(found.losses, np.arange(num_units), num_units)

    return Judgement(value, statistic, "low", "sessions")


def _ece(probabilities: Any, labels: Any, weights: Any, *, where: object = None) -> Metric:
    return ece(probabilities, labels, weights, bins="equal_count", where=where)


METRICS: dict[str, dict[str, Judgement]] = {
    "binary": {
        "auc": Judgement(_of_rows(auc), statistics.auc_statistic, "high"),
        "logloss": Judgement(_of_rows(log_loss), statistics.log_loss_statistic, "low"),
        "pr_auc": Judgement(_of_rows(pr_auc), statistics.pr_auc_statistic, "high"),
        "normalised_entropy": Judgement(_of_rows(normalised_entropy), statistics.normalised_entropy_statistic, "low"),
        "predicted_over_actual": Judgement(_of_rows(predicted_over_actual), statistics.predicted_over_actual_statistic, "one"),
        "ece_equal_count": Judgement(_of_rows(_ece), None, "low"),
        "gauc_impressions": _gauc("impressions", "groups"),
        "gauc_positives": _gauc("positives", "groups"),
        "gauc_macro": _gauc("macro", "groups"),
        f"ndcg_{K}": _top_k(ndcg, ndcg_by_group),
        f"recall_{K}": _top_k(recall, recall_by_group),
        "session_auc": _gauc("macro", "sessions"),
        "session_logloss": _session_log_loss(),
    },
    "regression": {
        "rmse": Judgement(_of_rows(rmse), statistics.rmse_statistic, "low"),
        "mae": Judgement(_of_rows(mae), statistics.mae_statistic, "low"),
        "r2": Judgement(_of_rows(r2), statistics.r2_statistic, "high"),
        "xauc": Judgement(_of_rows(xauc), None, "high"),
    },
}


def judgements(kind: str, rows: JudgedRows) -> dict[str, Judgement]:
    """The metrics of a task of a kind that its rows allow: those of groups and sessions only where there are some."""
    known = {"rows"} | ({"groups"} if rows.groups is not None else set()) | ({"sessions"} if rows.sessions is not None else set())
    return {name: found for name, found in METRICS[kind].items() if found.by in known}
