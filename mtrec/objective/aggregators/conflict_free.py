"""The direction at the same angle to each gradient, as long as the gradients reach along it.

Shapes: P tasks present in the batch.
"""

import torch
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["Config", "ConflictFree"]


class Config(Strict):
    """Nothing to choose."""


class ConflictFree(GramianAggregator):
    """g = (sum_t <g_t, v>) v with the unit vector v in the span of the gradients that has the same cosine with each: v ~ U^+ 1, U their unit vectors.

    With C = U U^T, v = U^T C^+ 1 / |.|. The direction is that of IMTL-G; the length is not bound to the weights' sum of 1, and cannot explode.

    Cost: 1 backward pass. Source: Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025.
    """

    paper = "Liu et al., ConFIG: Towards Conflict-free Training of Physics Informed Neural Networks, ICLR 2025"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        length_P = gramian_PP.diagonal().sqrt()
        cosine_PP = gramian_PP / (length_P.unsqueeze(0) * length_P.unsqueeze(1))
        share_P: Tensor = torch.linalg.pinv(cosine_PP, rtol=1e-7 * len(cosine_PP), hermitian=True).sum(1)
        square = float(share_P @ cosine_PP @ share_P)
        if square < 1e-9:  # Opposite gradients: no direction has the same cosine with all.
            return torch.zeros_like(share_P)
        reach = float(length_P @ cosine_PP @ share_P) / square
        return reach * share_P / length_P
