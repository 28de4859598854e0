"""Ids to rows of a table of fixed size by a hash: nothing to fit, and ids may share a row.

    row = (hash(id) >>> 1) mod size,  the hash of `mtrec.hash64` under `seed`

An id has the same row in every process and on every platform.
"""

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from mtrec.features.transform import IdTransform
from mtrec.hash64 import hash_array, hash_int64, hash_strings, to_range
from mtrec.schema import Strict

__all__ = ["Config", "Hashing"]


class Config(Strict):
    size: int = Field(gt=0, le=2**40)
    seed: int = Field(default=0, ge=0, lt=2**31)


class Hashing(IdTransform):
    """Whole numbers or text to [0, size), the same in every process."""

    learns = False

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size = config.size
        self.seed = config.seed

    def forward(self, values: Tensor) -> Tensor:
        return to_range(hash_int64(values, self.seed), self.size)

    @torch.jit.export
    def forward_strings(self, values: list[str]) -> Tensor:
        return to_range(hash_strings(values, self.seed), self.size)

    def encode(self, array: pa.Array) -> NDArray[np.int64]:
        return to_range(torch.from_numpy(hash_array(array, self.seed)), self.size).numpy()
