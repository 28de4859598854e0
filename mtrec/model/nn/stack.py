"""Fusion layers on top of each other: what the expert architectures are made of.

Shapes: B rows, D width, T tasks, U units, E experts, H output width, G extra columns that only gates read.
"""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveInt
from torch import Tensor, nn

from mtrec.errors import ConfigError
from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.gate import Gates

__all__ = ["FusionStack", "Levels", "check_num_units"]


def _several_levels(value: object) -> object:
    return [value] if isinstance(value, list) and value and not any(isinstance(each, list) for each in value) else value


# The sizes of the layers of each expert: `[128, 64]` is one level of two layers, `[[128], [64]]` two levels of one layer each.
Levels = Annotated[list[Annotated[list[PositiveInt], Field(min_length=1)]], BeforeValidator(_several_levels), Field(min_length=1)]


def check_num_units(name: str, num_units: int, accepted: Sequence[int], num_tasks: int) -> None:
    """Raise ConfigError if an encoder's inputs are not as many as an architecture can read."""
    if num_units not in accepted:
        words = {1: "one input", num_tasks: "one a task", num_tasks + 1: "one a task and one that all share"}
        told = ", or ".join(words[count] for count in dict.fromkeys(accepted))
        raise ConfigError(f"{name} reads {told}", where="model.architecture", found=f"{num_units} inputs for {num_tasks} tasks")


class FusionStack(nn.Module):
    """z = layer_L( ... layer_1(x)), and the cut before the last layer's mixtures, where the tasks part.

    Each layer's experts read what the layer before gave, the first layer's x; its gates read `gate_input`. The last `num_extra` columns of
    x are read by gates alone.

    Args:
        layers: from the first to the last, whose output units are the tasks.
        num_extra: G.
    """

    def __init__(self, layers: Sequence[FusionLayer], num_extra: int = 0) -> None:
        super().__init__()
        self.lower = nn.ModuleList(layers[:-1])
        self.layer = layers[-1]
        self.num_extra = num_extra
        self.output_width = self.layer.output_width

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D + G] or [B, U, D + G] -> z [B, T, H]"""
        return self.tasks(self.shared(x))

    def shared(self, x: Tensor) -> list[Tensor]:
        """What the tasks part from: the last layer's experts, then what its gates read, if it has gates."""
        x = self.enter(x)
        h = x.narrow(-1, 0, x.shape[-1] - self.num_extra) if self.num_extra > 0 else x
        gate_x = self.first_gate_input(x)
        for layer in self.lower:
            h = layer(h, gate_x)
            gate_x = self.gate_input(h, x)
        experts_BEH = self.layer.experts(h)
        return [experts_BEH, gate_x] if self.layer.gated else [experts_BEH]

    def tasks(self, shared: list[Tensor]) -> Tensor:
        """z [B, T, H]; that of a task depends on `shared` through its own gate only."""
        z_BTH: Tensor = self.layer.mix(shared[0], shared[-1])
        return z_BTH

    def task_output(self, shared: list[Tensor], task: int) -> Tensor:
        """z of one task, [B, H], computed alone; not for the script."""
        return self.layer.mix_row(shared[0], shared[-1], task)

    def linear_gates(self, shared: list[Tensor]) -> Gates | None:
        """The gates of the tasks, if they are one linear layer that reads `shared[1]`, [B, D]: then there is `tasks_apart`."""
        gates = self.layer.gates
        return gates if isinstance(gates, Gates) and not gates.has_hidden and shared[1].dim() == 2 and not self.layer.stops else None

    def tasks_apart(self, experts: list[Tensor], logits_BG: Tensor) -> Tensor:
        """What `tasks` gives, [B, T, H], from the gates' `edge_logits` and a copy of the experts' output for each task; not for the script."""
        return self.layer.mix_apart(experts, logits_BG)

    def last_shared_layer(self) -> nn.Module:
        """The last layer whose output `shared` gives."""
        return self.layer.last_layer()

    def enter(self, x: Tensor) -> Tensor:
        """The encoder's output as the units of the first layer read it."""
        return x

    def first_gate_input(self, x: Tensor) -> Tensor:
        """What the gates of the first layer read."""
        return x

    def gate_input(self, h: Tensor, x: Tensor) -> Tensor:
        """What the gates of a later layer read: its input h [B, U, H], and of x what is for gates alone."""
        raise NotImplementedError
