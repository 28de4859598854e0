"""The mean of a sequence's embeddings.

Shapes: B rows, L positions, d embedding width.
"""

from torch import Tensor, nn

from mtrec.model.nn.sequence import known_positions, mean_over_known
from mtrec.schema import Strict

__all__ = ["Config", "Mean"]


class Config(Strict):
    """Nothing to choose."""


class Mean(nn.Module):
    """p = mean over the known positions of s_l. No parameters.

    The default, and done inside the look-up, which is several times cheaper than looking each position up: this module stands for it where
    a sequence has been looked up position by position anyway.
    """

    requires: frozenset[str] = frozenset()

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()

    def forward(self, sequence_BLd: Tensor, lengths_B: Tensor, candidate_Bd: Tensor) -> Tensor:
        """-> [B, d]"""
        return mean_over_known(sequence_BLd, known_positions(lengths_B, sequence_BLd.shape[1]))

    @staticmethod
    def num_parameters(width: int, config: Config) -> int:
        return 0
