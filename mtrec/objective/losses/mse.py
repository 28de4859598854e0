"""Squared error.

Shapes: B rows.
"""

from torch import Tensor, nn

from mtrec.schema import Strict

__all__ = ["MSE", "Config"]


class Config(Strict):
    """Nothing to choose."""


class MSE(nn.Module):
    """l = (s - y)^2 with prediction s and standardised label y; no factor 1/2."""

    kinds = frozenset({"regression"})

    def __init__(self, config: Config) -> None:
        super().__init__()

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """[B], [B] -> [B]"""
        return (logits - labels).square()
