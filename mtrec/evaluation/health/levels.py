"""The levels of an architecture: which experts stand side by side, whose they are, and which units mix them.

Shapes: B rows, R output units, E experts, H output width, T tasks.
"""

from typing import NamedTuple

from torch import Tensor, nn

from mtrec.model.architectures.home import HoME
from mtrec.model.architectures.mmoe import MMoE
from mtrec.model.architectures.shared_bottom import SharedBottom
from mtrec.model.architectures.single_task import SingleTask
from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.stack import FusionStack
from mtrec.model.nn.task_units import UnitStack

__all__ = ["SHARED", "Level", "View", "levels_of"]

SHARED = "shared"


class View(NamedTuple):
    """What a level did with some rows.

    Attributes:
        experts: [B, E, H], what the experts gave.
        weights: [B, R, E], what the gates gave; exactly 0 for an expert that a unit does not see. None where nothing is gated.
        visible: [R, E] bool, which experts a unit sees.
        residual: [R, E], what is added to the gates for every row; None where nothing is.
    """

    experts: Tensor
    weights: Tensor | None = None
    visible: Tensor | None = None
    residual: Tensor | None = None


class Level(NamedTuple):
    """One level.

    Attributes:
        name: as reports call it.
        of: of each expert whose it is: a task's name, `shared`, or a category.
        owner: of each expert the place of the task that it belongs to; None where it belongs to none alone.
        units: the names of the units that mix the experts; none where nothing is gated.
        task: of each unit the place of the task that it is; None for a unit between levels that is none.
        modules: the modules of the architecture that are watched, by part.
        num_inputs: how many inputs the rows were multiplied by, each task's own; 1 for one that all read.
    """

    name: str
    of: list[str]
    owner: list[int | None]
    units: list[str]
    task: list[int | None]
    modules: dict[str, nn.Module]
    num_inputs: int = 1


def levels_of(architecture: nn.Module, tasks: list[str]) -> list[Level]:
    """The levels from the first to the last; none of an architecture without experts."""
    if isinstance(architecture, FusionStack):
        layers = [*architecture.lower, architecture.layer]
        return [_of_layer(f"level {place}", layer, architecture, tasks) for place, layer in enumerate(layers, 1) if isinstance(layer, FusionLayer)]
    if isinstance(architecture, SharedBottom):
        return [Level("level 1", [SHARED], [None], [], [], {"experts": architecture.layer.later})]
    if isinstance(architecture, SingleTask):
        return [Level("level 1", tasks, list(range(len(tasks))), [], [], {"experts": architecture.experts})]
    return _of_home(architecture, tasks) if isinstance(architecture, HoME) else []


def _of_layer(name: str, layer: FusionLayer, architecture: FusionStack, tasks: list[str]) -> Level:
    units_are_tasks = isinstance(architecture, UnitStack)
    unit_of_expert = [unit for unit in range(layer.num_units) for _ in range(layer.first_expert[unit], layer.first_expert[unit + 1])]
    owner = [unit if units_are_tasks and unit < len(tasks) else None for unit in unit_of_expert]
    modules: dict[str, nn.Module] = {"experts": layer.later, "layer": layer}
    of = [SHARED if task is None else tasks[task] for task in owner]
    if not layer.gated:
        return Level(name, of, owner, [], [], modules)
    is_of_tasks = units_are_tasks or layer is architecture.layer
    task: list[int | None] = [row if is_of_tasks and row < len(tasks) else None for row in range(layer.num_rows)]
    units = [tasks[place] if place is not None else (SHARED if units_are_tasks else f"gate {row + 1}") for row, place in enumerate(task)]
    num_inputs = architecture.num_inputs if isinstance(architecture, MMoE) else 1
    return Level(name, of, owner, units, task, modules | {"gates": layer.gates}, num_inputs)


def _of_home(home: HoME, tasks: list[str]) -> list[Level]:
    categories = [f"category {place + 1}" for place in range(home.num_categories)]

    def repeated(names: list[str], count: int) -> list[str]:
        return [name for name in names for _ in range(count)]

    num_category, num_shared = home.category_mixture.num_own, home.shared_mixture.num_own
    of = repeated(categories, num_category) + [SHARED] * num_shared
    mixtures: dict[str, nn.Module] = {"category": home.category_mixture, SHARED: home.shared_mixture}
    none: list[int | None] = [None] * len(of)
    meta = Level("meta level", of, none, [*categories, SHARED], [None] * (len(categories) + 1), {"normal": home.meta_experts, **mixtures})
    num_common, num_own = home.task_mixture.place_RN.shape[1], home.task_mixture.num_own
    groups = [unit for unit in range(home.num_categories + 1) for _ in range(_count(home, unit))]
    of = [*([*categories, SHARED][unit] for unit in groups), *repeated(tasks, num_own)]
    owner = [None] * num_common + [task for task in range(len(tasks)) for _ in range(num_own)]
    modules: dict[str, nn.Module] = {"normal": home.common_experts, "own": home.task_experts, "task": home.task_mixture}
    return [meta, Level("task level", of, owner, list(tasks), list(range(len(tasks))), modules)]


def _count(home: HoME, unit: int) -> int:
    first = home.common_experts.first_expert
    return first[unit + 1] - first[unit]
