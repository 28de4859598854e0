"""All features side by side in one vector.

Shapes: B rows, D width.
"""

from torch import Tensor, nn

from mtrec.schema import Strict
from mtrec.types import FeatureBatch, FeatureShape

__all__ = ["Concat", "Config"]


class Config(Strict):
    """Nothing to choose."""


class Concat(nn.Module):
    """x = the flat part of the batch: numbers and pooled embeddings as they stand. No parameters."""

    requires = frozenset({"flat"})
    num_units: int = 1

    def __init__(self, shape: FeatureShape, config: Config) -> None:
        super().__init__()
        self.output_width = shape.flat

    def forward(self, features: FeatureBatch) -> Tensor:
        """-> [B, D]"""
        return features.flat
