"""Each metric as a function of how often each unit is drawn, for the bootstrap.

Most metrics are functions of a few sums over rows or groups; the two that rank rows are computed anew from rows that were sorted once.
"""

import math

import numpy as np
from numpy.typing import NDArray

from mtrec.evaluation.bootstrap import Statistic, of_sums
from mtrec.evaluation.metrics.gauc import GroupAucs, Mean, mean_weights
from mtrec.evaluation.metrics.log_loss import losses_of
from mtrec.evaluation.metrics.pr_auc import RankedRows, average_precision, ranked
from mtrec.evaluation.rows import JudgedRows

__all__ = [
    "auc_statistic",
    "gauc_statistic",
    "log_loss_statistic",
    "mae_statistic",
    "mean_statistic",
    "normalised_entropy_statistic",
    "pr_auc_statistic",
    "predicted_over_actual_statistic",
    "r2_statistic",
    "rmse_statistic",
]

Units = NDArray[np.int64]


def log_loss_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    return of_sums([rows.weight * _losses(rows), rows.weight], units, num_units, _ratio)


def normalised_entropy_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    def value(loss: float, positives: float, total: float) -> float:
        b = _ratio(positives, total)
        return _ratio(loss, -total * (b * math.log(b) + (1 - b) * math.log1p(-b))) if 0 < b < 1 else math.nan

    return of_sums([rows.weight * _losses(rows), rows.weight * (rows.labels == 1), rows.weight], units, num_units, value)


def predicted_over_actual_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    return of_sums([rows.weight * rows.predictions, rows.weight * (rows.labels == 1)], units, num_units, _ratio)


def rmse_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    return of_sums([rows.weight * _errors(rows) ** 2, rows.weight], units, num_units, lambda squares, total: math.sqrt(_ratio(squares, total)))


def mae_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    return of_sums([rows.weight * np.abs(_errors(rows)), rows.weight], units, num_units, _ratio)


def r2_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    centred = rows.labels.astype(np.float64) - float(rows.labels.astype(np.float64).mean())  # Or else their squares lose digits.

    def value(squares: float, labels: float, label_squares: float, total: float) -> float:
        spread = label_squares - labels * _ratio(labels, total)
        return 1 - _ratio(squares, spread) if spread > 0 else math.nan

    terms = [rows.weight * _errors(rows) ** 2, rows.weight * centred, rows.weight * centred**2, rows.weight]
    return of_sums(terms, units, num_units, value)


def pr_auc_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    order, of_place, weight = _sorted_once(rows, units)

    def value(counts: NDArray[np.float64]) -> float:
        drawn = weight * counts[of_place]
        return average_precision(order, drawn) if drawn[order.positive].any() else math.nan

    return value


def auc_statistic(rows: JudgedRows, units: Units, num_units: int) -> Statistic:
    order, of_place, weight = _sorted_once(rows, units)

    def value(counts: NDArray[np.float64]) -> float:
        drawn = weight * counts[of_place]
        true = np.where(order.positive, drawn, 0.0).cumsum()[order.last]
        false = drawn.cumsum()[order.last] - true
        area = (np.diff(false, prepend=0.0) * (true - np.diff(true, prepend=0.0) / 2)).sum()
        return _ratio(float(area), float(true[-1] * false[-1]))

    return value


def gauc_statistic(found: GroupAucs, mean: Mean, units: Units, num_units: int) -> Statistic:
    """Of the AUCs of groups that are units: `units` [G] names the unit of each group."""
    kept = ~np.isnan(found.auc)
    weight = mean_weights(found, mean)[kept]
    return of_sums([weight * found.auc[kept], weight], units[kept], num_units, _ratio)


def mean_statistic(values: NDArray[np.float64], units: Units, num_units: int) -> Statistic:
    """Of the plain mean of values [G] that are known, one a unit."""
    kept = ~np.isnan(values)
    return of_sums([values[kept], np.ones(int(kept.sum()))], units[kept], num_units, _ratio)


def _sorted_once(rows: JudgedRows, units: Units) -> tuple[RankedRows, Units, NDArray[np.float64]]:
    order = ranked(rows.predictions, rows.labels == 1)
    return order, units[order.order], rows.weight[order.order]


def _losses(rows: JudgedRows) -> NDArray[np.float64]:
    return losses_of(rows.predictions.astype(np.float64), rows.labels == 1)


def _errors(rows: JudgedRows) -> NDArray[np.float64]:
    return np.asarray(rows.predictions.astype(np.float64) - rows.labels.astype(np.float64))


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0 else math.nan
