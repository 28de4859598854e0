"""Binary cross-entropy on logits.

Shapes: B rows.
"""

from torch import Tensor, nn
from torch.nn import functional

from mtrec.schema import Strict

__all__ = ["BCE", "Config"]


class Config(Strict):
    """Nothing to choose."""


class BCE(nn.Module):
    """l = max(s, 0) - s y + log(1 + exp(-|s|)) with logit s and label y in [0, 1].

    For y in {0, 1} it is -log of the probability that the logit gives to y; finite for any finite s.
    """

    kinds = frozenset({"binary"})

    def __init__(self, config: Config) -> None:
        super().__init__()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[B], [B] -> [B]"""
        return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
