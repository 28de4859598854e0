"""What every reader of sequences needs: which positions are known, and weighted sums over those alone.

A sequence of length l fills its positions 0 to l - 1, oldest first. What stands behind them never matters, and a sequence without any position
gives exact zeros.

Shapes: B sequences, L positions, d width.
"""

import torch
from torch import Tensor

__all__ = ["known_positions", "mean_over_known", "softmax_over_known", "weighted_sum"]


def known_positions(lengths: Tensor, num_positions: int) -> Tensor:
    """lengths [...] -> [..., L] bool, True at the positions that hold a value.

    >>> known_positions(torch.tensor([2, 0]), 3).int().tolist()
    [[1, 1, 0], [0, 0, 0]]
    """
    return torch.arange(num_positions, device=lengths.device) < lengths.unsqueeze(-1)


def weighted_sum(weights_BL: Tensor, sequence_BLd: Tensor, known_BL: Tensor) -> Tensor:
    """The sum of w_l s_l over the known positions, [B, d]."""
    weights_B1L = weights_BL.masked_fill(~known_BL, 0.0).unsqueeze(1)
    # Not by the weight alone: zero times what is not finite is not finite.
    known_BLd = sequence_BLd.masked_fill(~known_BL.unsqueeze(2), 0.0)
    return torch.bmm(weights_B1L.to(known_BLd.dtype), known_BLd).squeeze(1)


def mean_over_known(sequence_BLd: Tensor, known_BL: Tensor) -> Tensor:
    """The mean over the known positions, [B, d]."""
    num_known_B1 = known_BL.sum(dim=1, keepdim=True).clamp(min=1)
    return sequence_BLd.masked_fill(~known_BL.unsqueeze(2), 0.0).sum(dim=1) / num_known_B1


def softmax_over_known(scores_BL: Tensor, known_BL: Tensor) -> Tensor:
    """Weights that sum to 1 over the known positions and are 0 elsewhere, all 0 where there are none; never below float32. [B, L]"""
    scores_BL = scores_BL.to(torch.promote_types(scores_BL.dtype, torch.float32))
    # Not minus infinity: the softmax of nothing else would not be finite.
    return torch.softmax(scores_BL.masked_fill(~known_BL, -1e30), dim=1).masked_fill(~known_BL, 0.0)
