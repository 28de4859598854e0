"""A comparison as a table for the terminal: one row a task and metric."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from mtrec.evaluation.table import ABSENT, number

__all__ = ["compare_table"]


def compare_table(report: Mapping[str, Any]) -> Table:
    """Both values, their difference with its 95 % interval, and the p-value corrected over the tasks; beneath, what the interval covers."""
    table = Table(title=Text(f"{', '.join(report['first'])} less {', '.join(report['second'])}, {report['split']}"), caption=Text(report["covers"]))
    for column, heading in enumerate(("Task", "Metric", "First", "Second", "Difference (95 % interval)", "p, corrected")):
        table.add_column(Text(heading), justify="left" if column < 2 else "right", overflow="fold")
    for task, metrics in report["tasks"].items():
        for metric, found in metrics.items():
            values = [ABSENT if found[side] is None else number(found[side]) for side in ("first", "second")]
            p = f"{found['p_corrected']:.3g}" if "p_corrected" in found else ABSENT
            table.add_row(*(Text(cell) for cell in (task, metric, *values, _difference(found), p)))
    return table


def _difference(found: Mapping[str, Any]) -> str:
    if "difference" not in found:
        return f"undefined: {found['reason']}"
    interval = f" ({number(found['low'])} to {number(found['high'])})" if "low" in found else ""
    return number(found["difference"]) + interval
