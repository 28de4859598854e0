"""What all gates share: for each output unit, a logit for every expert that it may see.

Shapes: B rows, D width, U input units, R output units (rows of the visibility), E experts, G open edges (ones of the visibility).
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from mtrec.config import resolve_part
from mtrec.model.nn.mlp import ParallelMLP, num_mlp_parameters
from mtrec.schema import GatePart, Strict

__all__ = ["GateOptions", "Gates", "build_gates", "num_gate_parameters"]


class GateOptions(Strict):
    """Options that every gate has.

    Attributes:
        hidden: sizes of the hidden layers of each gate; none makes it one linear layer, as in the papers.
    """

    hidden: list[PositiveInt] = []


class Gates(nn.Module):
    """a_r = weigh(W_r g_r(x_r) + b_r): how much output unit r takes from each expert; the parts in `gates` say what `weigh` is.

    x_r is the input of unit `source[r]`, g_r an MLP of the sizes `hidden` (none: the identity). The logit of an expert that r cannot see is
    minus infinity, and its weight has to be exactly 0. Parameters exist for open edges only, unit after unit in `weight` [G, d] and `bias` [G]:
    a closed edge has none that never learn. R P(D, hidden) + (d + 1) G of them, where d is hidden[-1], or D.

    A subclass says how by `weigh` alone: training with gradients apart takes logits from `edge_logits`.

    Args:
        width: D.
        source: the input unit that each output unit's gate reads, [R].
        visibility: [R, E] bool, True where r may see e; each row may see at least one.
    """

    edge_of_RE: Tensor

    def __init__(self, width: int, source: Sequence[int], visibility: Tensor, config: GateOptions) -> None:
        super().__init__()
        visibility, hidden = self.open_edges(visibility, config), config.hidden
        if not bool(visibility.any(dim=1).all()):
            raise ValueError(f"Each gated output unit should see an expert. Found visibility = {visibility.int().tolist()}.")
        self.source = list(source)
        self.num_rows, self.num_experts = visibility.shape
        self.is_full = bool(visibility.all())
        self.hidden = ParallelMLP(self.num_rows, width, hidden)
        self.has_hidden = len(hidden) > 0

        num_visible = [int(count) for count in visibility.sum(dim=1)]
        self.first_edge = [sum(num_visible[:row]) for row in range(self.num_rows + 1)]
        self.weight = nn.Parameter(torch.empty(sum(num_visible), self.hidden.output_width))
        self.bias = nn.Parameter(torch.zeros(sum(num_visible)))
        for start, stop in pairwise(self.first_edge):
            nn.init.xavier_normal_(self.weight[start:stop])
        # Closed edges point one past the last open edge, where `logits` puts minus infinity.
        edge_of_RE = torch.full(visibility.shape, sum(num_visible))
        edge_of_RE[visibility] = torch.arange(sum(num_visible))
        self.register_buffer("edge_of_RE", edge_of_RE, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D], which all gates read, or [B, U, D] -> [B, R, E]; never below float32."""
        return self.weigh(self.logits(x), 0, self.num_rows)

    def row(self, x: Tensor, row: int) -> Tensor:
        """What one output unit takes, [B, 1, E], computed alone."""
        return self.weigh(self.row_logits(x, row), row, row + 1)

    def weigh(self, logits: Tensor, start: int, stop: int) -> Tensor:
        """The weights of the output units from start up to stop; logits [B, stop - start, E], minus infinity where closed -> of the same shape."""
        raise NotImplementedError

    def logits(self, x: Tensor) -> Tensor:
        """[B, R, E]"""
        return self._spread(self.edge_logits(x))

    def of_edges(self, logits_BG: Tensor) -> Tensor:
        """What `forward` gives, from `edge_logits`."""
        return self.weigh(self._spread(logits_BG), 0, self.num_rows)

    def _spread(self, logits_BG: Tensor) -> Tensor:
        if not self.is_full:
            logits_BG = functional.pad(logits_BG, [0, 1], value=float("-inf")).index_select(1, self.edge_of_RE.flatten())
        return logits_BG.view(logits_BG.shape[0], self.num_rows, self.num_experts)

    def edge_logits(self, x: Tensor) -> Tensor:
        """The logits of the open edges, [B, G]; those of output unit r from `first_edge[r]` on."""
        source = self.source
        if self.has_hidden:
            x = x if x.dim() == 2 else x[:, self.source].transpose(0, 1)
            x = self.hidden(x).transpose(0, 1)
            source = list(range(self.num_rows))
        if x.dim() == 2:
            return functional.linear(x, self.weight, self.bias)
        logits: list[Tensor] = []
        for row in range(self.num_rows):
            start, stop = self.first_edge[row], self.first_edge[row + 1]
            logits.append(functional.linear(x[:, source[row]], self.weight[start:stop], self.bias[start:stop]))
        return torch.cat(logits, dim=1)

    def row_logits(self, x: Tensor, row: int) -> Tensor:
        """[B, 1, E]"""
        x = x if x.dim() == 2 else x[:, self.source[row]]
        x = self.hidden.network(x, row)
        start, stop = self.first_edge[row], self.first_edge[row + 1]
        logits = functional.linear(x, self.weight[start:stop], self.bias[start:stop])
        place_E = (self.edge_of_RE[row] - start).clamp(max=stop - start)
        return functional.pad(logits, [0, 1], value=float("-inf")).index_select(1, place_E).unsqueeze(1)

    @staticmethod
    def open_edges(visibility: Tensor, config: Any) -> Tensor:
        """The edges that stay open of those that may be, [R, E]; all, unless a part closes some."""
        return visibility

    @classmethod
    def num_parameters(cls, width: int, visibility: Tensor, config: GateOptions) -> int:
        num_open = int(cls.open_edges(visibility, config).sum())
        return visibility.shape[0] * num_mlp_parameters(width, config.hidden) + ([width, *config.hidden][-1] + 1) * num_open


def build_gates(part: GatePart, width: int, source: Sequence[int], visibility: Tensor) -> nn.Module:
    """The gates that a configuration names.

    Raises:
        ConfigError: if they do not fit the experts that each output unit may see.
    """
    gate_class, config = resolve_part(part)
    gates: nn.Module = gate_class(width, source, visibility, config)
    return gates


def num_gate_parameters(part: GatePart, width: int, visibility: Tensor) -> int:
    """The parameters of the gates that a configuration names."""
    gate_class, config = resolve_part(part)
    return int(gate_class.num_parameters(width, visibility, config))
