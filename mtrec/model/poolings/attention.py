"""A learned query that weighs the elements of a sequence.

Shapes: B rows, L positions, d embedding width.
"""

import torch
from torch import Tensor, nn

from mtrec.model.nn.sequence import known_positions, softmax_over_known, weighted_sum
from mtrec.schema import Strict

__all__ = ["Attention", "Config"]


class Config(Strict):
    """Nothing to choose."""


class Attention(nn.Module):
    """p = sum_l a_l s_l with a = softmax over the known positions of q . s_l, q learned.

    The query starts at zero, so that training starts from the mean. It knows nothing of the row: the same elements weigh alike for every
    candidate. Parameters: d.
    Source: Yang et al., Hierarchical Attention Networks for Document Classification, NAACL 2016; without its hidden layer.
    """

    requires: frozenset[str] = frozenset()

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        self.query_d = nn.Parameter(torch.zeros(width))

    def forward(self, sequence_BLd: Tensor, lengths_B: Tensor, candidate_Bd: Tensor) -> Tensor:
        """-> [B, d]"""
        known_BL = known_positions(lengths_B, sequence_BLd.shape[1])
        scores_BL = (sequence_BLd * self.query_d).sum(dim=2)
        return weighted_sum(softmax_over_known(scores_BL, known_BL), sequence_BLd, known_BL)

    @staticmethod
    def num_parameters(width: int, config: Config) -> int:
        return width
