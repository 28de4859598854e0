"""A loss in which the positives of a binary task count more, or less.

Shapes: B rows.
"""

import torch
from torch import Tensor, nn

__all__ = ["PositiveWeight"]


class PositiveWeight(nn.Module):
    """w l where the label is 1, l where it is 0, for a loss l of one task.

    With cross-entropy the logit that minimises it is log(w p / (1 - p)) where p is the probability of a positive; `Outputs` takes log w off.
    """

    def __init__(self, loss: nn.Module, weight: float) -> None:
        super().__init__()
        self.loss, self.weight = loss, weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[B], [B] -> [B]"""
        loss: Tensor = self.loss(logits, labels)
        return loss * torch.where(labels == 1, self.weight, 1.0)
