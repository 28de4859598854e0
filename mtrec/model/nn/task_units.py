"""A stack whose units are the tasks, and one that all tasks share.

Shapes: B rows, D width, T tasks, U units, E experts, H output width, G extra columns that only gates read.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from mtrec.errors import ConfigError
from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.gate import num_gate_parameters
from mtrec.model.nn.mlp import num_mlp_parameters
from mtrec.model.nn.stack import FusionStack, check_num_units
from mtrec.schema import GatePart

__all__ = ["TaskUnits", "UnitStack", "plan"]


class TaskUnits(NamedTuple):
    """The units of a stack.

    Attributes:
        task_experts: experts of each task's unit, [T].
        shared_experts: experts of the shared unit; with none there is no such unit.
        sees: what a task's output unit sees: all experts, only its own and the shared ones, or none (no gates). The shared one sees all.
    """

    task_experts: list[int]
    shared_experts: int
    sees: Literal["all", "own", "none"]

    @property
    def experts(self) -> list[int]:
        """Experts of each unit, tasks first, [U]."""
        return self.task_experts + ([self.shared_experts] if self.shared_experts else [])

    def visibility(self, is_last: bool) -> Tensor:
        """[R, E] bool; the last layer has no output unit but the tasks."""
        unit_E = torch.tensor(self.expert_unit)
        row_R1 = torch.arange(len(self.task_experts) if is_last else len(self.experts)).unsqueeze(1)
        num_tasks = len(self.task_experts)
        sees_all = (row_R1 == num_tasks) | (self.sees == "all")
        return (sees_all | (unit_E == row_R1) | (unit_E == num_tasks)) & (self.sees != "none")

    def others(self, is_last: bool) -> Tensor:
        """[R, E] bool, in the form of `visibility`: True where a task meets an expert of another task."""
        return self._replace(sees="all").visibility(is_last) & ~self._replace(sees="own").visibility(is_last)

    @property
    def expert_unit(self) -> list[int]:
        return [unit for unit, count in enumerate(self.experts) for _ in range(count)]


def plan(task_experts: int | Sequence[int], shared_experts: int, num_tasks: int, sees: Literal["all", "own", "none"]) -> TaskUnits:
    """Units from options: one number of experts for all tasks, or one for each.

    Raises:
        ConfigError: if there are not as many numbers as tasks, or a task would see no expert.
    """
    counts = [task_experts] * num_tasks if isinstance(task_experts, int) else list(task_experts)
    where = "model.architecture.task_experts"
    if len(counts) != num_tasks:
        raise ConfigError("Experts are given for each task, or as one number for all", where=where, found=counts, expected=f"{num_tasks} numbers")
    blind = min(counts) == 0 if sees == "own" else sum(counts) == 0
    if blind and shared_experts == 0:
        raise ConfigError("A task has no expert to look at", where=where, found=counts, do="Give it experts, or some that all tasks share.")
    return TaskUnits(counts, shared_experts, sees)


class UnitStack(FusionStack):
    """Layers from T units, or T + 1, to as many, the last one to the T tasks.

    All units read the encoder's one output; or task t its own and the shared unit the one that all share, the last of T + 1; of T inputs
    the shared unit reads the mean. A gate reads its own unit's input.
    """

    def __init__(
        self,
        name: str,
        width: int,
        num_units: int,
        units: TaskUnits,
        levels: Sequence[Sequence[int]],
        *,
        gate: GatePart | None,
        residual: Literal["none", "native", "free"] = "none",
        native_init: Literal["uniform", "ones_over_m"] = "uniform",
        stop_other_tasks: bool = False,
        dropout: float = 0.0,
        num_extra: int = 0,
    ) -> None:
        num_tasks, num_inside = len(units.task_experts), len(units.experts)
        check_num_units(name, num_units, [1, num_tasks, num_inside], num_tasks)
        layers: list[FusionLayer] = []
        for level, hidden in enumerate(levels):
            visibility = units.visibility(is_last=level == len(levels) - 1)
            layers.append(
                FusionLayer(
                    width,
                    hidden,
                    num_units=num_inside,
                    expert_unit=units.expert_unit,
                    output_unit=list(range(len(visibility))),
                    visibility=visibility,
                    gate=gate,
                    gate_width=width + num_extra,
                    residual=residual,
                    native_init=native_init,
                    stop_gradient=units.others(is_last=level == len(levels) - 1) if stop_other_tasks else None,
                    dropout=dropout,
                )
            )
            width = hidden[-1]
        super().__init__(layers, num_extra)
        self.adds_mean = 1 < num_units < num_inside

    def enter(self, x: Tensor) -> Tensor:
        return torch.cat([x, x.mean(dim=1, keepdim=True)], dim=1) if self.adds_mean else x

    def gate_input(self, h: Tensor, x: Tensor) -> Tensor:
        if self.num_extra == 0:
            return h
        extra = x.narrow(-1, x.shape[-1] - self.num_extra, self.num_extra)
        if extra.dim() == 2:
            extra = extra.unsqueeze(1).expand(-1, h.shape[1], -1)
        return torch.cat([h, extra], dim=-1)

    @staticmethod
    def num_stack_parameters(width: int, units: TaskUnits, levels: Sequence[Sequence[int]], gate: GatePart | None, num_extra: int = 0) -> int:
        """sum over levels of N P(d, h) + those of the gates, N being all experts; residuals are left out."""
        total = 0
        for level, hidden in enumerate(levels):
            total += sum(units.experts) * num_mlp_parameters(width, hidden)
            if gate is not None:
                total += num_gate_parameters(gate, width + num_extra, units.visibility(is_last=level == len(levels) - 1))
            width = hidden[-1]
        return total
