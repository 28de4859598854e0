"""Of each element's gradients only those of one sign are kept, which one by chance.

Shapes: T tasks, N elements of the cut.
"""

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from mtrec.objective.seeded import generator_of
from mtrec.schema import Strict

__all__ = ["Config", "GradDrop"]


class Config(Strict):
    """Options of GradDrop.

    Attributes:
        seed: of the draws.
    """

    seed: NonNegativeInt = 0


class GradDrop(nn.Module):
    """g_n is the sum of the positive g_tn with the probability p_n = (1 + sum_t g_tn / sum_t |g_tn|) / 2, else that of the negative ones.

    It needs the gradients themselves, not their Gramian. Draws depend on the seed and on how many steps were taken.

    Cost: 1 backward pass, and a draw for each element of the cut. Source: Chen et al., Just Pick a Sign, NeurIPS 2020. They add up the signs of a
    whole batch, times those of the activations; here each element of the cut is by itself. No leak.
    """

    paper = "Chen et al., Just Pick a Sign: Optimizing Deep Multitask Models with Gradient Sign Dropout, NeurIPS 2020"

    num_calls: Tensor

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.seed = config.seed
        self.register_buffer("num_calls", torch.zeros((), dtype=torch.int64))

    def forward(self, rows_TN: Tensor, gramian_TT: Tensor | None = None) -> Tensor:
        """[T, N] -> [N]"""
        draw_N = torch.rand(rows_TN.shape[1], generator=generator_of(self.seed, int(self.num_calls)))
        self.num_calls += 1
        positive_N, negative_N = rows_TN.clamp(min=0).sum(0), rows_TN.clamp(max=0).sum(0)
        # Chance p is the positive part's share of all absolute values; where all are 0, so is the result.
        return torch.where(draw_N * (positive_N - negative_N) < positive_N, positive_N, negative_N)
