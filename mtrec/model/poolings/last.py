"""The newest element of a sequence.

Shapes: B rows, L positions, d embedding width.
"""

from torch import Tensor, nn

from mtrec.schema import Strict

__all__ = ["Config", "Last"]


class Config(Strict):
    """Nothing to choose."""


class Last(nn.Module):
    """p = s_(l - 1), with l the length; zeros where l = 0. No parameters."""

    requires: frozenset[str] = frozenset()

    def __init__(self, width: int, config: Config) -> None:
        super().__init__()

    def forward(self, sequence_BLd: Tensor, lengths_B: Tensor, candidate_Bd: Tensor) -> Tensor:
        """-> [B, d]"""
        newest_B11 = (lengths_B - 1).clamp(min=0).view(-1, 1, 1)
        newest_Bd = sequence_BLd.gather(1, newest_B11.expand(-1, 1, sequence_BLd.shape[2])).squeeze(1)
        return newest_Bd.masked_fill((lengths_B == 0).unsqueeze(1), 0.0)

    @staticmethod
    def num_parameters(width: int, config: Config) -> int:
        return 0
