"""Binary cross-entropy on logits.

Shapes: B rows.
"""

from pydantic import Field, NonNegativeFloat
from torch import Tensor, nn
from torch.nn import functional

from mtrec.schema import Strict

__all__ = ["BCE", "Config"]


class Config(Strict):
    """Options of binary cross-entropy.

    Attributes:
        smoothing: e, with which a label y is taken for y (1 - e) + e / 2; what is predicted then keeps off 0 and 1 by e / 2 in the same way.
    """

    smoothing: NonNegativeFloat = Field(default=0.0, lt=1)


class BCE(nn.Module):
    """l = max(s, 0) - s y + log(1 + exp(-|s|)) with logit s and label y in [0, 1].

    For y in {0, 1} it is -log of the probability that the logit gives to y; finite for any finite s.
    """

    kinds = frozenset({"binary"})

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.smoothing = config.smoothing

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[B], [B] -> [B]"""
        if self.smoothing > 0:
            labels = labels * (1 - self.smoothing) + self.smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
