"""The table of a report: one row a task, the same cells for the terminal and the page."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from mtrec.evaluation.evaluate import mean_auc

__all__ = ["cells", "metrics_table", "number"]

ABSENT = "–"
MAIN_METRIC = {"binary": "auc", "regression": "rmse"}


def number(value: float) -> str:
    """A number to 4 digits after the point, or 4 that count where it is large or tiny.

    >>> number(0.81234), number(1234567.8), number(0.000123456), number(0)
    ('0.8123', '1,234,568', '1.235e-04', '0.0000')
    """
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"


def cells(report: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of text of a report: task, rows, positives, AUC, log loss, RMSE, and the main metric of each baseline.

    The main metric is AUC for a binary task and RMSE for a regression. Nothing is escaped.
    """
    baselines = report.get("baselines", {})
    headings = ["Task", "Rows", "Positives", "AUC (95 % interval)", "Log loss", "RMSE", *baselines]
    rows = []
    for name, task in report["tasks"].items():
        counts = [f"{task[key]:,}" if key in task else ABSENT for key in ("rows", "positives")]
        metrics = [_metric(task.get(key)) for key in ("auc", "logloss", "rmse")]
        main = MAIN_METRIC[task["kind"]]
        others = [_metric(baseline["tasks"].get(name, {}).get(main)) for baseline in baselines.values()]
        rows.append([name, *counts, *metrics, *others])
    return headings, rows


def metrics_table(report: Mapping[str, Any]) -> Table:
    """The table of a report for the terminal, with the mean AUC beneath."""
    headings, rows = cells(report)
    mean = mean_auc(report["tasks"])
    table = Table(title=Text(f"Split {report.get('split', '?')}"), caption=None if mean is None else f"Mean AUC {number(mean)}")
    for column, heading in enumerate(headings):
        table.add_column(Text(heading), justify="left" if column == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text, so that a bracket in a name is a bracket
    return table


def _metric(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ABSENT
    if found["value"] is None:
        return f"undefined: {found['reason']}"
    interval = f" ({number(found['low'])} to {number(found['high'])})" if "low" in found and "high" in found else ""
    return number(found["value"]) + interval
