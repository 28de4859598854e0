"""Numbers to ids: ranges that hold about equally many train values each.

Row 0 is null or infinite; row 1 + i holds the numbers above i of the inner boundaries, b_1 < b_2 < ...: b_j is the train value of rank
j / num_buckets, and belongs to the bucket below it. Ties merge boundaries, so there can be fewer than `num_buckets` buckets.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtrec.features.transform import IdTransform, sorted_known
from mtrec.schema import Strict

__all__ = ["Buckets", "Config"]


class Config(Strict):
    num_buckets: int = Field(default=32, ge=1, le=2**20)


class Buckets(IdTransform):
    """float64 [n] to int64 [n] in [0, size): the number of train boundaries below the value, plus one."""

    takes_numbers = True
    boundaries: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.num_buckets = config.num_buckets
        self.register_buffer("boundaries", torch.zeros(0, dtype=torch.float64))
        self.refresh()

    def fit(self, values: Tensor, counts: NDArray[np.int64] | None = None) -> None:
        known = sorted_known(values)
        self._refuse_empty(known.numel())
        # The smallest value that has at least j / num_buckets of all at or below it.
        ranks = torch.arange(1, self.num_buckets) * known.numel()
        positions = (ranks + self.num_buckets - 1) // self.num_buckets - 1
        inner = torch.from_numpy(np.unique(known[positions.clamp(min=0)].numpy()))
        self.boundaries = inner[inner < known[-1]]  # the largest value bounds nothing: no train value lies above it
        self.refresh()

    def refresh(self) -> None:
        self.size = self.boundaries.numel() + 2

    def forward(self, values: Tensor) -> Tensor:
        return torch.where(torch.isfinite(values), torch.searchsorted(self.boundaries, values.contiguous()) + 1, 0)
