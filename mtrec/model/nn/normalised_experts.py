"""Experts of one layer whose batch-normalised values pass through Swish, so that no unit of them can die.

Shapes: B rows, U input units, d width, E experts, H output width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.nn.batch_norm import BatchNorm

__all__ = ["NormalisedExperts"]


class NormalisedExperts(nn.Module):
    """E_e = Swish(BatchNorm(W_e x_u)), where Swish(a) = a sigmoid(a), and u is the unit that expert e reads.

    The kernels have no bias, which the normalisation would take away. All experts share one batch normalisation of E H channels; it works channel
    by channel, and so equals one for each expert.

    Parameters: E (d H + 2 H).

    Args:
        width: d.
        output_width: H.
        num_experts: of each unit, [U].
    """

    def __init__(self, width: int, output_width: int, num_experts: Sequence[int]) -> None:
        super().__init__()
        self.num_units, self.output_width = len(num_experts), output_width
        # Experts of unit u are those from first_expert[u] up to first_expert[u + 1].
        self.first_expert = [sum(num_experts[:unit]) for unit in range(len(num_experts) + 1)]
        self.weight = nn.Parameter(torch.empty(sum(num_experts), output_width, width))
        for weight in self.weight:
            nn.init.xavier_normal_(weight)
        self.norm = BatchNorm(sum(num_experts) * output_width)

    def forward(self, x_UBd: Tensor) -> Tensor:
        """[U, B, d] -> [B, E, H]"""
        return self.part(x_UBd, 0, self.num_units)

    def part(self, x_uBd: Tensor, start: int, stop: int) -> Tensor:
        """The experts of the units from `start` up to `stop`, on the inputs of these -> [B, number of these experts, H]"""
        first, last = self.first_expert[start], self.first_expert[stop]
        normal_BC: Tensor = self.norm(self.linear(x_uBd, start, stop), first * self.output_width, last * self.output_width)
        return functional.silu(normal_BC).view(x_uBd.shape[1], last - first, self.output_width)

    def linear(self, x_uBd: Tensor, start: int, stop: int) -> Tensor:
        """What is normalised: the same experts' W_e x_u side by side, [B, number of these experts times H]"""
        values: list[Tensor] = []
        for unit in range(start, stop):
            weight = self.weight[self.first_expert[unit] : self.first_expert[unit + 1]].flatten(0, 1)
            values.append(functional.linear(x_uBd[unit - start], weight))
        return torch.cat(values, dim=1)
