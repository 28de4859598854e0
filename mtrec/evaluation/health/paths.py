"""How loss weights, gradients and their cosines went along in training, from what the run logged."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MOST_POINTS", "paths_of"]

MOST_POINTS = 100
_PREFIXES = ("train/weight/", "train/gradient_norm/", "train/cosine/")


def paths_of(history: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """By the name in metrics.jsonl, the pairs [step, value], thinned evenly to at most a hundred with the last one among them."""
    paths: dict[str, list[list[float]]] = {}
    for line in history:
        name, value = str(line["name"]), line["value"]
        if name.startswith(_PREFIXES) and value is not None and math.isfinite(value):
            paths.setdefault(name, []).append([line["step"], float(f"{value:.6g}")])
    return {name: _thinned(points) for name, points in paths.items()}


def _thinned(points: list[list[float]]) -> list[list[float]]:
    stride = math.ceil(len(points) / MOST_POINTS)
    return points[::-1][::stride][::-1]
