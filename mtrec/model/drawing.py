"""What each task sees, as text, read from the masks of a built architecture.

Shapes: T tasks, R output units, E experts.
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from mtrec.model.architectures.home import HoME
from mtrec.model.architectures.multitab import MultiTab
from mtrec.model.architectures.shared_bottom import SharedBottom
from mtrec.model.architectures.single_task import SingleTask
from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.gate import Gates
from mtrec.model.nn.self_gate import SelfGatedMixture
from mtrec.model.nn.stack import FusionStack

__all__ = ["draw"]


def draw(architecture: nn.Module) -> str:
    """A grid for each level, with a line for each output unit and a sign for each expert, grouped by the unit whose input the experts read.

    `x` is weighed by a gate, or the only one; `+` is a unit's share of its own experts, or of all (cross-stitch); `*` is both; `o` is weighed by
    a gate and not trained by this task; `.` is not seen. For MultiTab the signs are tokens: that of each task, and those of all features as one.

    Raises:
        TypeError: if it is not known where the architecture has its masks.
    """
    match architecture:
        case FusionStack():
            layers = [layer for layer in [*architecture.lower, architecture.layer] if isinstance(layer, FusionLayer)]
            return _levels([_fusion(layer, architecture.layer.num_rows) for layer in layers])
        case SharedBottom():
            return _fusion(architecture.layer, architecture.num_tasks)
        case SingleTask():
            num_tasks = len(next(architecture.experts.parameters()))
            names = _units(num_tasks, num_tasks)
            return _grid(names, dict.fromkeys(names, 1), [_blocks([1] * len(names), row, "x") for row in range(len(names))])
        case HoME():
            return _levels(_home(architecture))
        case MultiTab():
            names = [*_units(architecture.num_tasks, architecture.num_tasks), "features"]
            sees = architecture.mask_NN[: len(names), : len(names)].tolist()
            return _grid(names, dict.fromkeys(names, 1), ["".join("x" if each else "." for each in row) for row in sees])
    raise TypeError(f"There is no drawing of {type(architecture).__name__}.")


def _fusion(layer: FusionLayer, num_tasks: int) -> str:
    gates, num_learned = layer.gates, 0 if layer.residual is None else len(layer.residual)
    seen_RE = gates.edge_of_RE < len(gates.bias) if isinstance(gates, Gates) else layer.mean_RE > 0
    own_RE = layer.native_RE > 0 if layer.residual_kind == "one" else layer.residual_index_RE < num_learned
    masks = zip(seen_RE.tolist(), own_RE.tolist(), layer.stop_RE.tolist(), strict=True)
    columns = dict(zip(_units(layer.num_units, num_tasks), _counts(layer.first_expert), strict=True))
    return _grid(_units(layer.num_rows, num_tasks), columns, ["".join(map(_sign, *row)) for row in masks])


def _sign(is_seen: bool, is_own: bool, is_stopped: bool) -> str:
    if is_seen and is_stopped:
        return "o"
    return {(True, True): "*", (True, False): "x", (False, True): "+", (False, False): "."}[is_seen, is_own]


def _home(home: HoME) -> list[str]:
    """The meta level, then the task level."""
    groups = [*(f"category {number + 1}" for number in range(home.num_categories)), "shared"]
    meta, common, own = (_counts(experts.first_expert) for experts in (home.meta_experts, home.common_experts, home.task_experts))
    of_categories, of_shared, of_tasks = (_common(mixture) for mixture in (home.category_mixture, home.shared_mixture, home.task_mixture))
    signs = [_blocks(meta[:-1], row, "*") + sees for row, sees in enumerate(of_categories)] + [of_shared[0] + "*" * meta[-1]]
    tasks = _units(home.num_tasks, home.num_tasks)
    columns = dict(zip(groups + tasks, common + own, strict=True))
    task_signs = [sees + _blocks(own, row, "*") for row, sees in enumerate(of_tasks)]
    return [_grid(groups, dict(zip(groups, meta, strict=True)), signs), _grid(tasks, columns, task_signs)]


def _common(mixture: SelfGatedMixture) -> list[str]:
    """What each unit sees of the experts that several see."""
    return ["".join("x" if place < mixture.num_visible else "." for place in row) for row in mixture.place_RN.tolist()]


def _blocks(counts: Sequence[int], own: int, sign: str) -> str:
    return "".join((sign if place == own else ".") * count for place, count in enumerate(counts))


def _counts(bounds: Sequence[int]) -> list[int]:
    return [stop - start for start, stop in pairwise(bounds)]


def _units(count: int, num_tasks: int) -> list[str]:
    """Names of units: the one that all share, those of the tasks and perhaps a shared one, or of gates between levels."""
    if count == 1:
        return ["all"]
    tasks = [f"task {number + 1}" for number in range(num_tasks)]
    if count in (num_tasks, num_tasks + 1):
        return tasks + ["shared"] * (count - num_tasks)
    return [f"gate {number + 1}" for number in range(count)]


def _levels(grids: Sequence[str]) -> str:
    return grids[0] if len(grids) == 1 else "\n".join(f"level {place + 1}\n{grid}" for place, grid in enumerate(grids))


def _grid(rows: Sequence[str], columns: dict[str, int], signs: Sequence[str]) -> str:
    """Names of rows at the left, of columns above; a column has several signs."""
    margin = max(map(len, rows))
    widths = [max(len(name), 2 * count - 1) for name, count in columns.items()]
    lines = [[" " * margin, *(name.ljust(width) for name, width in zip(columns, widths, strict=True))]]
    for name, text in zip(rows, signs, strict=True):
        rest = iter(text)
        cells = [" ".join(next(rest) for _ in range(count)).ljust(width) for count, width in zip(columns.values(), widths, strict=True)]
        lines.append([name.ljust(margin), *cells])
    return "".join("  ".join(line).rstrip() + "\n" for line in lines)
