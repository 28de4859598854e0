from typing import Any

import numpy as np

from mtrec.evaluation.plots import Line, draw
from mtrec.evaluation.served_page import MOST_FRONTS, served_html, served_plots

BINS = [{"rows": 10, "predicted": 0.1, "share": 0.2, "low": 0.05, "high": 0.4}, {"rows": 10, "predicted": 0.3, "share": 0.4, "low": 0.2, "high": 0.7}]
FACTS = {
    "kind": "platt",
    "rows": 1234,
    "positives": 99,
    "slope": 0.5,
    "offset": -1.0,
    "logloss_before": 0.6,
    "logloss_after": None,
    "fitted_on": "valid",
}


def report(num_tasks: int = 2) -> dict[str, Any]:
    names = [f"t{place}" for place in range(num_tasks)]
    point = {"weights": {"t0": 1.0}, **dict.fromkeys(names, 0.6)}
    fronts = {f"{a}/{b}": [point, point] for a in names for b in names if a < b}
    chosen = {"weights": {"t0": 1.0}, "figures": dict.fromkeys(names, 0.61), "target": 1.0}
    metric = {"auc": {"value": 0.75}, "ndcg_10": {"value": None, "reason": "no <groups>"}}
    score = {"weights": {"t0": 1.0, "t1.joint": 4.0}, "tasks": dict.fromkeys(names, metric), "gain": {"ndcg_10": {"value": 0.5}}}
    return {
        "tasks": {name: {"kind": "binary", "reliability": BINS, "calibration": FACTS} for name in names},
        "score": score,
        "score_search": {"metric": "auc", "fronts": fronts, "chosen": chosen, "judged": score},
    }


def test_the_tables_say_what_the_report_says_and_escape_it() -> None:
    page = served_html(report())
    for text in ("slope 0.5000, offset -1.0000", "1,234", "undefined: no &lt;groups&gt;", "Fused score: 1 t0, 4 t1.joint", "as the search chose it"):
        assert text in page
    assert "<groups>" not in page


def test_nothing_is_said_of_a_report_without_any_of_it() -> None:
    plain = {"tasks": {"click": {"kind": "binary", "reliability": []}, "seconds": {"kind": "regression"}}}
    assert served_html(plain) == "" and served_plots(plain) == []
    nothing = {**plain, "score_search": {"reason": "fewer than two"}}
    assert served_html(nothing) == "" and served_plots(nothing) == []


def test_a_plot_for_each_task_and_each_of_a_few_pairs() -> None:
    plots = served_plots(report())
    assert [name for _, name, *_ in plots] == ["reliability-t0", "reliability-t1", "front-t0-t1"]
    line, diagonal = plots[0][2][0]
    assert line.low is not None and line.low.tolist() == [0.05, 0.2] and diagonal.x.tolist() == [0.0, 0.7] == diagonal.y.tolist()
    assert [line.name for line in plots[2][2][0]] == ["no other weights beat these in both", "chosen"]
    assert len(served_plots(report(8))) == 8 + MOST_FRONTS


def test_an_interval_is_drawn_at_each_point() -> None:
    x = np.array([0.1, 0.2, 0.3])
    plain, with_intervals = (draw([Line("a", x, x, *ends)], "name", "x", "y") for ends in ((), (x - 0.05, x + 0.05)))
    assert "LineCollection" in with_intervals and "LineCollection" not in plain
