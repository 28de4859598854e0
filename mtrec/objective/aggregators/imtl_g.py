"""The mixture of the gradients that has the same projection on each of them.

Shapes: P tasks present in the batch.
"""

import torch
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["IMTLG", "Config"]


class Config(Strict):
    """Nothing to choose."""


class IMTLG(GramianAggregator):
    """g = sum_t w_t g_t with sum w = 1 and <g, g_t / |g_t|> the same for every t: w in proportion to G^+ n, n the gradients' lengths.

    G^+ is the pseudo-inverse: parallel gradients share their weight. Weights may be negative, and grow without bound as the sum of G^+ n nears 0;
    where it is 0, as for two opposite gradients, g = 0.

    Cost: 1 backward pass. Source: Liu et al., Towards Impartial Multi-task Learning, ICLR 2021, whose form on shared activations this is.
    """

    paper = "Liu et al., Towards Impartial Multi-task Learning, ICLR 2021"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        gramian_PP = gramian_PP / gramian_PP.diagonal().mean()
        share_P = torch.linalg.pinv(gramian_PP, rtol=1e-7 * len(gramian_PP), hermitian=True) @ gramian_PP.diagonal().sqrt()
        total = float(share_P.sum())
        return share_P / total if abs(total) > 1e-9 else torch.zeros_like(share_P)
