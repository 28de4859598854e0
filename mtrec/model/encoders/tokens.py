"""A token for each feature, for architectures that attend to features one by one.

Shapes: B rows, N numbers, F fields, d embedding width.
"""

import torch
from torch import Tensor, nn

from mtrec.errors import ConfigError
from mtrec.schema import Strict
from mtrec.types import FeatureBatch, FeatureShape

__all__ = ["Config", "Tokens"]


class Config(Strict):
    """Nothing to choose."""


class Tokens(nn.Module):
    """x = [fields; tokens of numbers], where the number v_n has the token v_n scale_n + shift_n.

    Ids and pooled sequences are fields, and are tokens as they stand. Scales start as N(0, 0.01^2), shifts as 0.

    Parameters: 2 N d. Source: MultiTab-Net, AAAI 2026, arXiv 2511.09970, whose tokens these are.
    """

    requires = frozenset({"flat", "fields"})
    gives = "tokens"

    def __init__(self, shape: FeatureShape, num_tasks: int, config: Config) -> None:
        super().__init__()
        if shape.num_fields == 0:
            expected = "an id feature or a pooled sequence"
            raise ConfigError("There is no embedding that the tokens of numbers could stand beside", where="features", expected=expected)
        self.num_numbers = shape.flat - shape.num_fields * shape.width
        self.num_units, self.output_width = shape.num_fields + self.num_numbers, shape.width
        self.scale = nn.Parameter(0.01 * torch.randn(self.num_numbers, shape.width))
        self.shift = nn.Parameter(torch.zeros(self.num_numbers, shape.width))

    def forward(self, features: FeatureBatch) -> Tensor:
        """-> [B, F + N, d]"""
        numbers_BN1 = features.flat[:, : self.num_numbers].unsqueeze(2)
        return torch.cat([features.fields, numbers_BN1 * self.scale + self.shift], dim=1)

    @staticmethod
    def num_parameters(shape: FeatureShape, num_tasks: int, config: Config) -> int:
        return 2 * (shape.flat - shape.num_fields * shape.width) * shape.width
