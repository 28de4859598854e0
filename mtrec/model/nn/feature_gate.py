"""Feature gates: each unit weighs the features that it reads, by a sum of low-rank maps.

Shapes: B rows, G gates, d width, l low-rank maps of each gate, r their rank.
"""

import torch
from torch import Tensor, nn

__all__ = ["FeatureGates", "num_feature_gate_parameters"]


def num_feature_gate_parameters(width: int, rank: int, num_loras: int) -> int:
    """FG(d) = 2 l d r + [l > 1] d l: of one gate.

    >>> num_feature_gate_parameters(width=10, rank=3, num_loras=2)
    140
    """
    return 2 * num_loras * width * rank + (width * num_loras if num_loras > 1 else 0)


class FeatureGates(nn.Module):
    """x' = x * sum_i softmax(x W)_i 2 sigmoid((x A_i) B_i), one such gate for each of G inputs, side by side.

    B starts at zero, so that every gate starts as the identity. With one low-rank map there is nothing to mix, and no W.
    """

    def __init__(self, num_gates: int, width: int, rank: int, num_loras: int) -> None:
        super().__init__()
        self.num_gates, self.width, self.rank, self.num_loras = num_gates, width, rank, num_loras
        self.down = nn.Parameter(torch.empty(num_gates, num_loras, width, rank))
        self.up = nn.Parameter(torch.zeros(num_gates, num_loras, rank, width))
        self.mix = nn.Parameter(torch.empty(num_gates, width, num_loras)) if num_loras > 1 else None
        for matrix in [*self.down.flatten(0, 1), *(self.mix if self.mix is not None else [])]:
            nn.init.xavier_normal_(matrix)

    def forward(self, x_GBd: Tensor) -> Tensor:
        """[G, B, d] -> the same, each input through its own gate"""
        return self.part(x_GBd, 0, self.num_gates)

    def part(self, x_gBd: Tensor, start: int, stop: int) -> Tensor:
        """The inputs of the gates from `start` up to `stop`, through these."""
        gate_gBd = torch.zeros_like(x_gBd)
        share_gBl = torch.ones_like(x_gBd[:, :, :1])
        if self.mix is not None:
            share_gBl = torch.softmax(torch.bmm(x_gBd, self.mix[start:stop]), dim=2)
        for index in range(self.num_loras):
            low_gBr = torch.bmm(x_gBd, self.down[start:stop, index])
            one_gBd = 2.0 * torch.sigmoid(torch.bmm(low_gBr, self.up[start:stop, index]))
            gate_gBd = gate_gBd + share_gBl[:, :, index : index + 1] * one_gBd
        return x_gBd * gate_gBd
