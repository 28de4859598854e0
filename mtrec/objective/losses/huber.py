"""Squared error near the label, absolute error far from it.

Shapes: B rows.
"""

from pydantic import PositiveFloat
from torch import Tensor, nn
from torch.nn import functional

from mtrec.schema import Strict

__all__ = ["Config", "Huber"]


class Config(Strict):
    """Options of the Huber loss.

    Attributes:
        delta: the error at which the square becomes a line, in standard deviations of the label.
    """

    delta: PositiveFloat = 1.0


class Huber(nn.Module):
    """With e = s - y: l = e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2), so that no row's gradient exceeds delta.

    Source: Huber, Robust Estimation of a Location Parameter, 1964.
    """

    kinds = frozenset({"regression"})

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.delta = config.delta

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[B], [B] -> [B]"""
        return functional.huber_loss(logits, labels, reduction="none", delta=self.delta)
