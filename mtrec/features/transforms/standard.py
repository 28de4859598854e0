"""Standardised numbers.

    y = clip((x - mean) / std, -c, c),  mean and std (population) of the known train values,  c = `clip`

Null becomes 0, the mean. A column that is constant in train becomes 0 throughout.
"""

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from mtrec.features.transform import NumberTransform
from mtrec.schema import Strict

__all__ = ["Config", "Standard"]


class Config(Strict):
    clip: float = Field(default=10.0, gt=0, le=1e6)


class Standard(NumberTransform):
    """Distance from the train mean in train standard deviations, clipped; output in [-clip, clip]."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.clip = config.clip
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("std", torch.zeros((), dtype=torch.float64))

    def fit_sorted(self, values: Tensor) -> None:
        known = values.numpy()
        # Scaled by a power of two, which is exact, so that sums of the largest numbers do not overflow.
        exponent = np.frexp(np.abs(known[[0, -1]]).max())[1]
        scaled = np.ldexp(known, -exponent)
        constant = known[0] == known[-1]
        mean = known[0] if constant else np.ldexp(scaled.mean(), exponent)
        std = 0.0 if constant else np.ldexp(scaled.std(), exponent)
        self.mean = torch.tensor(mean, dtype=torch.float64)
        self.std = torch.tensor(std, dtype=torch.float64)

    def forward(self, values: Tensor) -> Tensor:
        known = torch.isfinite(values) & (self.std > 0)
        scaled = ((values - self.mean) / self.std).clamp(-self.clip, self.clip)
        return torch.where(known, scaled, 0.0)
