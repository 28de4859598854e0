"""Several ids of a row as one: rows of a table of fixed size by the hash of the combination.

    row = (hash(combined) >>> 1) mod size,  combined = `mtrec.hash64.combine_hashes` of the hash of each id, in their order

A combination has the same row in every process and on every platform.
"""

from pydantic import Field
from torch import Tensor

from mtrec.features.transform import IdTransform
from mtrec.hash64 import combine_hashes, hash_int64, to_range
from mtrec.schema import Strict

__all__ = ["Config", "Cross"]


class Config(Strict):
    size: int = Field(gt=0, le=2**40)
    seed: int = Field(default=0, ge=0, lt=2**31)


class Cross(IdTransform):
    """The hashes of k ids, int64 [n, k], to [0, size)."""

    takes_hashes = True
    learns = False

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.size = config.size
        self.seed = config.seed

    def forward(self, hashes: Tensor) -> Tensor:
        return to_range(hash_int64(combine_hashes(hashes), self.seed), self.size)
