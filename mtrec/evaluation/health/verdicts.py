"""What is wrong inside a model, in sentences.

The three anomalies of mixtures of experts that Wang et al. name (HoME, arXiv 2408.05430, 2024), with thresholds of our own, and two more:

    dead          an expert gives 0 in all of its units on all rows
    collapse      at least 90 % of an expert's outputs are 0, or they are less than a tenth as large as those of the middle expert of its level
    degradation   a shared expert has at least 90 % of its gate weight, summed over the tasks that see it, from one task
    underfitting  a task gives its own experts less than a tenth of what an even gate would, where it sees others too
    conflict      the mean cosine of two tasks' gradients is at most -0.1, and its whole interval lies below 0
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from mtrec.evaluation.health.levels import Level
from mtrec.evaluation.health.sums import Findings

__all__ = ["COLLAPSED_SCALE", "COLLAPSED_ZEROS", "CONFLICT", "IGNORED", "OWNED", "conflicts", "faults_of_level", "owners"]

COLLAPSED_ZEROS = 0.9
COLLAPSED_SCALE = 0.1
OWNED = 0.9
IGNORED = 0.1
CONFLICT = -0.1

Verdict = dict[str, Any]


def owners(level: Level, found: Findings) -> list[tuple[int, float] | None]:
    """Of each shared expert the task that gives it the most gate weight, and that task's share of what all tasks give it; None of the others."""
    rows = [row for row, task in enumerate(level.task) if task is not None]
    if found.weights is None or len(rows) < 2:
        return [None] * len(level.of)
    weights_tE = found.weights[rows]
    held: list[tuple[int, float] | None] = []
    for expert, owner in enumerate(level.owner):
        seen_t = weights_tE[:, expert]
        total = float(seen_t.nansum())
        if owner is not None or int((~seen_t.isnan()).sum()) < 2 or total == 0:
            held.append(None)
            continue
        place = int(seen_t.nan_to_num(-1.0).argmax())
        held.append((rows[place], float(seen_t[place]) / total))
    return held


def faults_of_level(level: Level, found: Findings, on: str) -> Iterator[Verdict]:
    """The anomalies of a level; `on` says which rows they were seen on."""
    gone = [float(share) == 1.0 for share in found.dead]
    alive = found.scale[[not each for each in gone]]
    middle = float(alive.median()) if len(alive) else 0.0
    for expert, is_gone in enumerate(gone):
        name, place = f"Expert {expert + 1} of {level.name}", {"level": level.name, "expert": expert + 1}
        zero, scale = float(found.zero[expert]), float(found.scale[expert])
        if is_gone:
            yield {"kind": "dead", **place, "sentence": f"{name} is dead: 100 % of its units are zero on {on}."}
        elif zero >= COLLAPSED_ZEROS:
            yield {"kind": "collapse", **place, "sentence": f"{name} has collapsed: {zero:.0%} of its outputs are zero on {on}."}
        elif scale < COLLAPSED_SCALE * middle:
            size = f"its outputs are {scale / middle:.1%} as large as those of the middle expert on {on}"
            yield {"kind": "collapse", **place, "sentence": f"{name} has collapsed: {size}."}
    for expert, held in enumerate(owners(level, found)):
        if held is not None and held[1] >= OWNED:
            task = level.units[held[0]]
            sentence = f"Expert {expert + 1} of {level.name} is shared, but {held[1]:.0%} of its gate weight comes from {task}."
            yield {"kind": "degradation", "level": level.name, "expert": expert + 1, "task": task, "sentence": sentence}
    yield from _ignored(level, found)


def _ignored(level: Level, found: Findings) -> Iterator[Verdict]:
    for row, task in enumerate(level.task):
        own = [expert for expert, owner in enumerate(level.owner) if owner is not None and owner == task]
        if task is None or found.total is None or found.weights is None or not own:
            continue
        num_visible, total_E = int((~found.weights[row].isnan()).sum()), found.total[row]
        share = float(total_E[own].sum() / total_E.sum())
        if num_visible > len(own) and share < IGNORED * len(own) / num_visible:
            who = f"expert {own[0] + 1}" if len(own) == 1 else f"experts {', '.join(str(each + 1) for each in own)}"
            sentence = f"{level.units[row]} gives {share:.1%} of its weight on {level.name} to what is its own, {who}, and the rest to others."
            yield {"kind": "underfitting", "level": level.name, "expert": own[0] + 1, "task": level.units[row], "sentence": sentence}


def conflicts(cosines: Sequence[dict[str, Any]], on: str) -> Iterator[Verdict]:
    """Tasks whose gradients point apart."""
    for found in cosines:
        if found.get("high", torch.inf) < 0 and found["mean"] <= CONFLICT:
            interval = f"{found['mean']:.2f} ({found['low']:.2f} to {found['high']:.2f})"
            pair = f"{found['first']} and {found['second']}"
            sentence = f"{pair} pull apart where they part: the mean cosine of their gradients is {interval} on {on}."
            yield {"kind": "conflict", "task": found["first"], "other": found["second"], "sentence": sentence}
