"""Softmax gates over the experts that an output unit may see.

Shapes: B rows, D width, U input units, R output units (rows of the visibility), E experts, G open edges (ones of the visibility).
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.nn.mlp import ParallelMLP

__all__ = ["SoftmaxGates"]


class SoftmaxGates(nn.Module):
    """a_r = softmax over the visible experts of (W_r g_r(x_r) + b_r): how much output unit r takes from each expert.

    x_r is the input of unit `source[r]`, g_r an MLP of the sizes `hidden` (none: the identity). An expert that r cannot see gets exactly 0.
    Weights exist for open edges only, unit after unit in `weight` [G, d] and `bias` [G]: a closed edge has no parameter that never learns.

    Args:
        width: D.
        source: the input unit that each output unit's gate reads, [R].
        visibility: [R, E] bool, True where r sees e; each row sees at least one.
        hidden: hidden sizes of each gate.
    """

    edge_of_RE: Tensor

    def __init__(self, width: int, source: Sequence[int], visibility: Tensor, hidden: Sequence[int] = ()) -> None:
        super().__init__()
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
        # Closed edges point one past the last open edge, where forward puts minus infinity.
        edge_of_RE = torch.full(visibility.shape, sum(num_visible))
        edge_of_RE[visibility] = torch.arange(sum(num_visible))
        self.register_buffer("edge_of_RE", edge_of_RE, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, D], which all gates read, or [B, U, D] -> [B, R, E], each row summing to 1; never below float32."""
        logits_BRE = self._logits(x)
        if not self.is_full:
            logits_BRE = functional.pad(logits_BRE, [0, 1], value=float("-inf")).index_select(1, self.edge_of_RE.flatten())
        logits_BRE = logits_BRE.view(x.shape[0], self.num_rows, self.num_experts)
        return torch.softmax(logits_BRE, dim=-1, dtype=torch.promote_types(logits_BRE.dtype, torch.float32))

    def _logits(self, x: Tensor) -> Tensor:
        """[B, G]"""
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
