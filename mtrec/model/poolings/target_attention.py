"""The judged item weighs the elements of a sequence.

Shapes: B rows, L positions, d embedding width.
"""

from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from mtrec.model.nn.mlp import MLP, num_mlp_parameters
from mtrec.model.nn.sequence import known_positions, softmax_over_known, weighted_sum
from mtrec.schema import Strict

__all__ = ["Config", "TargetAttention"]


class Config(Strict):
    """Options of target attention.

    Attributes:
        hidden: sizes of the hidden layers of the MLP that gives an element its score.
        weights: softmax of the scores, so that the weights sum to 1; or the scores as they are (raw), with which many alike elements weigh
            more than one, as in the paper.
    """

    hidden: list[PositiveInt] = Field(default=[32], min_length=1)
    weights: Literal["softmax", "raw"] = "softmax"


class TargetAttention(nn.Module):
    """p = sum_l a_l s_l with a_l from MLP([c, s_l, s_l - c, s_l * c]), c the candidate's embedding, s_l the elements.

    Parameters: P(4 d, hidden) + hidden[-1] + 1.
    Source: Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018, which has raw weights and other activations; public
    code adds the difference and the product that are here.
    """

    requires = frozenset({"candidate"})

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()
        self.hidden = MLP(4 * width, config.hidden)
        self.score = nn.Linear(self.hidden.output_width, 1)
        self.is_softmax = config.weights == "softmax"
        nn.init.xavier_normal_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, sequence_BLd: Tensor, lengths_B: Tensor, candidate_Bd: Tensor) -> Tensor:
        """-> [B, d]"""
        known_BL = known_positions(lengths_B, sequence_BLd.shape[1])
        candidate_BLd = candidate_Bd.unsqueeze(1).expand_as(sequence_BLd)
        pairs = torch.cat([candidate_BLd, sequence_BLd, sequence_BLd - candidate_BLd, sequence_BLd * candidate_BLd], dim=2)
        scores_BL = self.score(self.hidden(pairs)).squeeze(2)
        weights_BL = softmax_over_known(scores_BL, known_BL) if self.is_softmax else scores_BL
        return weighted_sum(weights_BL, sequence_BLd, known_BL)

    @staticmethod
    def num_parameters(width: int, config: Config) -> int:
        return num_mlp_parameters(4 * width, config.hidden) + config.hidden[-1] + 1
