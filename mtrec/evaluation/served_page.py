"""What is served, on the page of a report: tables of calibration and of the fused score, plots of reliability and of trade-offs."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mtrec.evaluation.further import section
from mtrec.evaluation.plots import Line
from mtrec.evaluation.table import metric_text, number

__all__ = ["served_html", "served_plots"]

MOST_FRONTS = 6  # That are drawn; report.json has all.

Plot = tuple[str, str, tuple[list[Line], list[str]], str, str]  # title, name, lines and notes, labels of x and y


def served_html(report: Mapping[str, Any]) -> str:
    """Tables, each left out where the report has nothing for it; all text is escaped."""
    parts = [_calibration(report["tasks"])]
    search = report.get("score_search", {})
    for title, found in (("Fused score", report.get("score")), ("Fused score as the search chose it", search.get("judged"))):
        if found is not None:
            weights = ", ".join(f"{weight:g} {name}" for name, weight in found["weights"].items())
            names = list(next(iter(found["tasks"].values()), {}))
            rows = [[task, *(metric_text(figures[name]) for name in names)] for task, figures in found["tasks"].items()]
            gains = [metric_text(found["gain"][name]) if name in found["gain"] else "" for name in names]
            parts.append(section(f"{title}: {weights}", ["By the outcome of", *names], [*rows, ["all, by weight", *gains]]))
    return "\n".join(part for part in parts if part)


def _calibration(tasks: Mapping[str, Any]) -> str:
    rows = []
    for task, found in tasks.items():
        if facts := found.get("calibration"):
            fitted = ", ".join(f"{key} {number(facts[key])}" for key in ("slope", "offset") if key in facts)
            fitted = facts.get("reason") or fitted or f"{facts['knots']} knots"
            losses = ["undefined" if facts[key] is None else number(facts[key]) for key in ("logloss_before", "logloss_after")]
            rows.append([task, facts["kind"], f"{facts['rows']:,}", fitted, *losses, facts.get("note", "")])
    return section("Calibration, fitted on valid", ["Task", "Kind", "Rows", "Fitted", "Log loss before", "Log loss after", "Note"], rows)


def served_plots(report: Mapping[str, Any]) -> list[Plot]:
    """The reliability of each binary task, with 95 % intervals, and the trade-off of pairs of tasks where weights were searched for."""
    plots: list[Plot] = []
    for task, found in report["tasks"].items():
        if bins := found.get("reliability"):
            columns = [np.array([each[key] for each in bins]) for key in ("predicted", "share", "low", "high")]
            ends = np.array([0.0, max(columns[0].max(), columns[3].max())])
            lines = [Line(task, *columns), Line("as predicted", ends, ends)]
            plots.append((f"Reliability of {task}, 95 % intervals", f"reliability-{task}", (lines, []), "mean prediction", "share of positives"))
    search = report.get("score_search", {})
    for pair, front in list(search.get("fronts", {}).items())[:MOST_FRONTS]:
        a, b = pair.split("/")
        lines = [Line("no other weights beat these in both", *_points(front, a, b))]
        chosen = search["chosen"]["figures"]
        lines.append(Line("chosen", np.array([chosen[a]]), np.array([chosen[b]])))
        plots.append((f"Trade-off on valid: {a} across, {b} up", f"front-{a}-{b}", (lines, []), search["metric"], search["metric"]))
    return plots


def _points(front: list[dict[str, Any]], a: str, b: str) -> tuple[Any, Any]:
    return np.array([point[a] for point in front]), np.array([point[b] for point in front])
