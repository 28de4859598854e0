"""Experts that all tasks share, and for each task a gate that mixes them.

Shapes: B rows, D width, T tasks, E experts, H output width.
"""

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from mtrec.errors import ConfigError
from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.mlp import num_mlp_parameters
from mtrec.schema import Strict

__all__ = ["Config", "MMoE"]


class Config(Strict):
    """Options of MMoE.

    Attributes:
        num_experts: E.
        expert_hidden: sizes of the layers of each expert; the last is H.
        gate_hidden: sizes of the hidden layers of each gate; none makes it one linear layer, as in the paper.
        dropout: after each layer of the experts, in training.
    """

    num_experts: PositiveInt = 8
    expert_hidden: list[PositiveInt] = Field(default=[128, 64], min_length=1)
    gate_hidden: list[PositiveInt] = Field(default=[])
    dropout: NonNegativeFloat = Field(default=0.0, lt=1)


class MMoE(nn.Module):
    """Multi-gate mixture of experts.

        f_e = MLP_e(x)                       e = 1..E, expert_hidden
        g_t = softmax(W_t x + b_t) over E    t = 1..T
        z_t = sum_e g_t,e f_e

    Where the encoder gives each task an input of its own, x is x_t in both, with the same experts.

    Parameters: E P(D, expert_hidden) + T (D + 1) E; with gate_hidden g the second term is T (P(D, g) + (g[-1] + 1) E).
    Source: Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018.
    Public code differs among itself: here experts end in a ReLU, gates have a bias, and nothing is batch-normalised, so that a row's
    score does not depend on the rows beside it.
    """

    paper = "Ma et al., Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts, KDD 2018"
    requires = frozenset({"flat"})

    def __init__(self, width: int, num_units: int, num_tasks: int, config: Config) -> None:
        super().__init__()
        if num_units not in (1, num_tasks):
            found = f"{num_units} inputs for {num_tasks} tasks"
            raise ConfigError("mmoe reads one input, or one a task", where="model.architecture", found=found)
        self.num_tasks = num_tasks
        self.output_width = config.expert_hidden[-1]
        self.layer = FusionLayer(
            width,
            config.expert_hidden,
            num_units=1,
            expert_unit=[0] * config.num_experts,
            output_unit=[0] * num_tasks,
            visibility=torch.ones(num_tasks, config.num_experts, dtype=torch.bool),
            gate_hidden=config.gate_hidden,
            dropout=config.dropout,
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D] or [B, T, D] -> z [B, T, H]"""
        if x.dim() == 2:
            z_BTH: Tensor = self.layer(x)
            return z_BTH
        # Every task's gate on every task's input, of which the diagonal is meant: gates are small beside the experts.
        z_NTH: Tensor = self.layer(x.flatten(0, 1))
        z_BTTH = z_NTH.view(x.shape[0], self.num_tasks, self.num_tasks, self.output_width)
        return z_BTTH.diagonal(dim1=1, dim2=2).transpose(1, 2)

    @staticmethod
    def num_parameters(width: int, num_units: int, num_tasks: int, config: Config) -> int:
        gate_width = [width, *config.gate_hidden][-1]
        gates = num_tasks * (num_mlp_parameters(width, config.gate_hidden) + (gate_width + 1) * config.num_experts)
        return config.num_experts * num_mlp_parameters(width, config.expert_hidden) + gates
