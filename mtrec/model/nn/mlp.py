"""Multi-layer perceptrons: one, and many of one shape that run side by side.

Shapes: B rows, N networks, I input width, O output width.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["MLP", "ParallelLinear", "ParallelMLP", "num_mlp_parameters"]


def num_mlp_parameters(width: int, hidden: Sequence[int]) -> int:
    """P(D, h) = sum_i (h_{i-1} + 1) h_i with h_0 = D: kernels and biases of an MLP.

    >>> num_mlp_parameters(3, [4, 2])
    26
    """
    return sum((inner + 1) * outer for inner, outer in pairwise([width, *hidden]))


class MLP(nn.Module):
    """h_i = dropout(relu(W_i h_{i-1} + b_i)) for every layer, the last included; no layer at all is the identity.

    Kernels start as Xavier normal, biases as zero. [..., width] -> [..., hidden[-1]]; P(width, hidden) parameters.
    """

    def __init__(self, width: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(nn.Linear(inner, outer) for inner, outer in pairwise([width, *hidden]))
        self.output_width = [width, *hidden][-1]
        for parameter in self.parameters():
            nn.init.xavier_normal_(parameter) if parameter.dim() == 2 else nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = functional.dropout(torch.relu(layer(x)), self.dropout, self.training)
        return x


class ParallelLinear(nn.Module):
    """N linear layers of one shape: y_n = W_n x_n + b_n.

    An input [B, I] is read by all networks, at the cost of one matrix product; an input [N, B, I] gives each its own. -> [N, B, O].
    N (I + 1) O parameters: `weight` [N, O, I], `bias` [N, O].
    """

    def __init__(self, num_networks: int, width: int, output_width: int) -> None:
        super().__init__()
        self.num_networks = num_networks
        self.weight = nn.Parameter(torch.empty(num_networks, output_width, width))
        self.bias = nn.Parameter(torch.zeros(num_networks, output_width))
        for weight in self.weight:
            # Network by network: the fans of a three-dimensional tensor would be counted wrongly.
            nn.init.xavier_normal_(weight)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 2:
            return self.shared(x, 0, self.num_networks)
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight.transpose(1, 2))

    def shared(self, x: Tensor, start: int, stop: int) -> Tensor:
        """Networks start to stop on one input [B, I] -> [stop - start, B, O]."""
        weight, bias = self.weight[start:stop], self.bias[start:stop]
        y = functional.linear(x, weight.flatten(0, 1), bias.flatten())
        return y.view(x.shape[0], stop - start, bias.shape[1]).transpose(0, 1)


class ParallelMLP(nn.Module):
    """N MLPs of one shape, layer by layer as `MLP`, on the inputs of `ParallelLinear`; N P(width, hidden) parameters."""

    def __init__(self, num_networks: int, width: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.layers = nn.ModuleList(ParallelLinear(num_networks, inner, outer) for inner, outer in pairwise([width, *hidden]))
        self.output_width = [width, *hidden][-1]

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = functional.dropout(torch.relu(layer(x)), self.dropout, self.training)
        return x

    def network(self, x: Tensor, index: int) -> Tensor:
        """One of the networks alone: [B, width] -> [B, last]; not for the script."""
        for layer in self.layers:
            assert isinstance(layer, ParallelLinear)
            x = functional.dropout(torch.relu(layer.shared(x, index, index + 1)).squeeze(0), self.dropout, self.training)
        return x
