"""Numbers on a logarithmic scale that keeps zero and the sign.

    y = sign(x) * log(1 + |x|)

Null stays null, so a chain goes on with a transform that fills it, as in [log1p, standard].
"""

import torch
from torch import Tensor

from mtrec.features.transform import NumberTransform
from mtrec.schema import Strict

__all__ = ["Config", "Log1p"]


class Config(Strict):
    pass


class Log1p(NumberTransform):
    """The signed logarithm of one plus the size; NaN where the input is null or infinite."""

    ends = False

    def __init__(self, config: Config) -> None:
        super().__init__()

    def forward(self, values: Tensor) -> Tensor:
        # Contiguous, since the vectorised logarithm and the one for strided values may differ in the last bit.
        scaled = torch.sign(values) * torch.log1p(values.abs().contiguous())
        return torch.where(torch.isfinite(values), scaled, torch.nan)
