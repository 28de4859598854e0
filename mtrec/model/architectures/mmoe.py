"""Experts that all tasks share, and for each task a gate that mixes them.

Shapes: B rows, D width, T tasks, E experts, H output width, G extra columns that only gates read.
"""

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor

from mtrec.model.nn.fusion import SOFTMAX, FusionLayer
from mtrec.model.nn.gate import Gates, num_gate_parameters
from mtrec.model.nn.mlp import num_mlp_parameters
from mtrec.model.nn.stack import FusionStack, Levels, check_num_units
from mtrec.schema import GatePart, Strict

__all__ = ["Config", "MMoE"]


class Config(Strict):
    """Options of MMoE.

    Attributes:
        num_experts: E, of each level.
        expert_hidden: sizes of the layers of each expert, `[128, 64]`; or a list of them for each level, `[[128], [64]]`. The last is H.
        gate_input: what the gates of a later level read: the input of the model, or of their level.
        gate: kind and options of the gates.
        dropout: after each layer of the experts, in training.
    """

    num_experts: PositiveInt = 8
    expert_hidden: Levels = [[128, 64]]
    gate_input: Literal["raw", "level"] = "raw"
    gate: GatePart = SOFTMAX
    dropout: NonNegativeFloat = Field(default=0.0, lt=1)


class MMoE(FusionStack):
    """Multi-gate mixture of experts, of one level or several.

        f_e = MLP_e(x)                       e = 1..E, expert_hidden
        g_t = softmax(W_t x + b_t) over E    t = 1..T
        z_t = sum_e g_t,e f_e

    With several levels, all but the last have E gates, and expert e of the next one reads the mixture of gate e. Their gates read x again, or
    the E mixtures before them side by side. Where the encoder gives each task an input of its own, x is x_t throughout, with the same experts.

    Parameters: sum over levels of E P(d, h) + G (w + 1) E, where G is T on the last level and E before, and w the width that gates read: D, or
    with `gate_input: level` E H of the level before.
    Source: Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018; several levels as in
    Li et al., AdaTT, KDD 2023, whose gates read x. Public code differs among itself: here experts end in a ReLU, gates have a bias, and
    nothing is batch-normalised, so that a row's score does not depend on the rows beside it.
    """

    paper = "Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018"
    requires = frozenset({"flat"})
    takes = frozenset({"flat", "units"})
    reads_gate_features = True

    def __init__(self, width: int, num_units: int, num_tasks: int, config: Config, num_extra: int = 0) -> None:
        check_num_units("mmoe", num_units, [1, num_tasks], num_tasks)
        num_experts = config.num_experts
        layers = [
            FusionLayer(
                inner,
                hidden,
                num_units=num_inner,
                expert_unit=[0] * num_experts if num_inner == 1 else range(num_experts),
                output_unit=[0] * num_gates,
                visibility=torch.ones(num_gates, num_experts, dtype=torch.bool),
                gate=config.gate,
                gate_width=gate_width,
                dropout=config.dropout,
            )
            for inner, hidden, num_inner, num_gates, gate_width in _levels(width, num_tasks, config, num_extra)
        ]
        super().__init__(layers, num_extra)
        self.num_tasks, self.num_inputs = num_tasks, num_units
        self.gates_read_raw = config.gate_input == "raw"

    def enter(self, x: Tensor) -> Tensor:
        """Of each task's own input, a row for every task."""
        return x if self.num_inputs == 1 else x.flatten(0, 1)

    def gate_input(self, h: Tensor, x: Tensor) -> Tensor:
        if self.gates_read_raw:
            return x
        level = h.flatten(1)
        return torch.cat([level, x.narrow(-1, x.shape[-1] - self.num_extra, self.num_extra)], dim=1) if self.num_extra > 0 else level

    def tasks(self, shared: list[Tensor]) -> Tensor:
        z_BTH: Tensor = self.layer.mix(shared[0], shared[-1])
        if self.num_inputs == 1:
            return z_BTH
        # Every task's gate on every task's input, of which the diagonal is meant: gates are small beside the experts.
        z_BTTH = z_BTH.view(z_BTH.shape[0] // self.num_tasks, self.num_tasks, self.num_tasks, self.output_width)
        return z_BTTH.diagonal(dim1=1, dim2=2).transpose(1, 2)

    def task_output(self, shared: list[Tensor], task: int) -> Tensor:
        own = shared if self.num_inputs == 1 else [part[task :: self.num_tasks] for part in shared]
        return super().task_output(own, task)

    def linear_gates(self, shared: list[Tensor]) -> Gates | None:
        return super().linear_gates(shared) if self.num_inputs == 1 else None

    @staticmethod
    def num_parameters(width: int, num_units: int, num_tasks: int, config: Config, num_extra: int = 0) -> int:
        total = 0
        for inner, hidden, _, num_gates, gate_width in _levels(width, num_tasks, config, num_extra):
            total += config.num_experts * num_mlp_parameters(inner, hidden)
            total += num_gate_parameters(config.gate, gate_width, torch.ones(num_gates, config.num_experts, dtype=torch.bool))
        return total


def _levels(width: int, num_tasks: int, config: Config, num_extra: int) -> list[tuple[int, list[int], int, int, int]]:
    """Of each level: width of its inputs, sizes of its experts, number of its inputs and of its gates, and the width that these read."""
    levels: list[tuple[int, list[int], int, int, int]] = []
    inner, num_inner = width, 1
    for level, hidden in enumerate(config.expert_hidden):
        is_last = level == len(config.expert_hidden) - 1
        gate_width = width if config.gate_input == "raw" else num_inner * inner
        levels.append((inner, hidden, num_inner, num_tasks if is_last else config.num_experts, gate_width + num_extra))
        inner, num_inner = hidden[-1], config.num_experts
    return levels
