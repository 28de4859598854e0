"""Cross-entropy that counts rows the less, the better they are predicted.

Shapes: B rows.
"""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from mtrec.schema import Strict

__all__ = ["Config", "Focal"]


class Config(Strict):
    """Options of the focal loss.

    Attributes:
        gamma: how fast rows fade out; 0 is cross-entropy.
    """

    gamma: NonNegativeFloat = 2.0


class Focal(nn.Module):
    """l = -(1 - q)^gamma log q, q the probability that the logit gives to the label.

    Its minimum is not at the true rate: what it predicts lies nearer to 1/2. Rank by it, or calibrate it, before using it as a probability.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, without their class weights.
    """

    kinds = frozenset({"binary"})

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.gamma = config.gamma

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[B], [B] -> [B]"""
        toward = torch.where(labels == 1, logits, -logits)
        # In logarithms: a power of 1 - q has no finite slope where q rounds to 1.
        return (self.gamma * functional.logsigmoid(-toward)).exp() * functional.softplus(-toward)
