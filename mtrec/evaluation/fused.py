"""Weights for a fused score: candidates are ranked with on valid, and those that no other beats are the trade-off between tasks.

A candidate is a point of the simplex over the outputs, each divided by its standard deviation on valid, so that a rare event is not drowned by a
frequent one: all corners, steps along all edges, the mean of all, the declared weights, and draws of a seed from Dirichlet(1, .., 1).
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mtrec.evaluation.ranking import RankedRows, Values

__all__ = ["NUM_DRAWS", "fuse", "search", "searched_outputs"]

NUM_DRAWS = 200
STEPS = 10  # along an edge
SEED = 0
DIGITS = 6  # That count, of the weights that are written out.


def fuse(served: Mapping[str, Values], weights: Mapping[str, float]) -> Values:
    """sum_o w_o output_o, [rows]"""
    return np.asarray(np.sum([np.float32(weight) * served[name] for name, weight in weights.items()], axis=0, dtype=np.float32))


def searched_outputs(served: Mapping[str, Any], kinds: Mapping[str, str], declared: Mapping[str, float]) -> list[str]:
    """The outputs that are weighed: the declared ones; where there are none, the own or joint probability of each binary task."""
    return list(declared) if declared else [name for task in kinds if kinds[task] == "binary" and (name := _own(task, served)) is not None]


def search(rows: RankedRows, served: Mapping[str, Values], outputs: list[str], declared: Mapping[str, float]) -> dict[str, Any]:
    """Rank the rows with each candidate; the same rows give the same answer.

    The target is the mean over the binary tasks of (metric - 1/2) / (own - 1/2), where own is the metric of ranking by the task's own output:
    1 where a task loses nothing. The metric is the GAUC over impressions where there are groups that may be ranked within, else the AUC. Tasks
    whose own output ranks no better than chance do not count.

    Args:
        served: all outputs of the rows, [rows] each.
        outputs: those that are weighed.
        declared: the weights of the configuration, if any.

    Returns:
        metric, own (by task), left_out (reason by task), candidates (their number), declared (figures of the declared weights), chosen (weights,
        figures, target), fronts: by `a/b`, the candidates that no other beats in both, by rising figure of a. With `reason` only, where nothing
        can be searched.
    """
    if any(weight < 0 for weight in declared.values()):
        return {"reason": "a declared weight is below 0: the simplex has only weights above it"}
    metric = "gauc_impressions" if rows.groups is not None and "groups" not in rows.void else "auc"
    own, left_out = _own_figures(rows, served, metric)
    spread = {name: float(np.std(served[name], dtype=np.float64)) for name in outputs}
    moving = [name for name in outputs if spread[name] > 0]
    if len(moving) < 2 or not own:
        return {"reason": "fewer than two outputs differ between rows" if own else "no task's own output ranks better than chance"}
    candidates = [_written(point / [spread[name] for name in moving], moving) for point in _points(len(moving))]
    if declared:
        candidates.insert(0, dict(declared))
    figures = [{task: rows.figure(metric, fuse(served, weights), task).value for task in own} for weights in candidates]
    entries: list[dict[str, Any]] = [
        {"weights": weights, "figures": found, "target": _target(found, own)} for weights, found in zip(candidates, figures, strict=True)
    ]
    return {
        "metric": metric,
        "own": own,
        "left_out": left_out,
        "candidates": len(entries),
        **({"declared": entries[0]} if declared else {}),
        "chosen": max(entries, key=lambda entry: entry["target"]),
        "fronts": {f"{a}/{b}": _front(entries, a, b) for a, b in combinations(own, 2)},
    }


def _own(task: str, served: Mapping[str, Any]) -> str | None:
    return next((name for name in (task, f"{task}.joint", f"{task}.conditional") if name in served), None)


def _own_figures(rows: RankedRows, served: Mapping[str, Values], metric: str) -> tuple[dict[str, float], dict[str, str]]:
    own, left_out = {}, {}
    for task in rows.binary:
        found = rows.figure(metric, served[str(_own(task, served))], task)
        if found.value is not None and found.value > 0.5:
            own[task] = found.value
        else:
            left_out[task] = found.reason or "its own output ranks no better than chance"
    return own, left_out


def _points(num_outputs: int) -> NDArray[np.float64]:
    """Candidates on the simplex, [C, K]; no corner comes twice."""
    corners = np.eye(num_outputs)
    inner = np.arange(1, STEPS)[:, None] / STEPS
    edges = [inner * corners[a] + (1 - inner) * corners[b] for a, b in combinations(range(num_outputs), 2)]
    draws = np.random.default_rng(SEED).dirichlet(np.ones(num_outputs), NUM_DRAWS)
    return np.concatenate([corners, *edges, corners.mean(0, keepdims=True), draws])


def _written(weights: NDArray[np.float64], names: list[str]) -> dict[str, float]:
    """Weights that add up to 1, as they can be copied into a configuration; what is 0 is left out."""
    shares = (weights / weights.sum()).tolist()
    return {name: float(f"{share:.{DIGITS}g}") for name, share in zip(names, shares, strict=True) if share > 0}


def _target(found: Mapping[str, float | None], own: Mapping[str, float]) -> float:
    return float(np.mean([((found[task] or 0.0) - 0.5) / (value - 0.5) for task, value in own.items()]))


def _front(entries: list[dict[str, Any]], a: str, b: str) -> list[dict[str, Any]]:
    """Falling in a, each better in b than all before it; handed back rising in a."""
    front: list[dict[str, Any]] = []
    for entry in sorted(entries, key=lambda each: (-each["figures"][a], -each["figures"][b])):
        if not front or entry["figures"][b] > front[-1][b]:
            front.append({"weights": entry["weights"], a: entry["figures"][a], b: entry["figures"][b]})
    return front[::-1]
