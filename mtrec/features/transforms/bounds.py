"""What becomes of numbers outside of a range, such as a broken sensor's -999.

    outside: error   prepare refuses them; in the artifact, which must answer, they count as null
             null    they count as null
             clip    they become the nearest bound

The same holds in training and in the artifact. Null stays null, so a chain goes on with a transform that fills it, as in [bounds, standard].
"""

from typing import Literal, Self

import torch
from pydantic import model_validator
from torch import Tensor

from mtrec.features.transform import NumberTransform
from mtrec.schema import Strict

__all__ = ["Bounds", "Config"]


class Config(Strict):
    """Options: the lowest and highest number that belongs, either of them null for none."""

    low: float | None = None
    high: float | None = None
    outside: Literal["error", "null", "clip"] = "error"

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError("low must not lie above high")
        return self


class Bounds(NumberTransform):
    """Numbers within [low, high], both included; NaN where the input is null or infinite."""

    ends = False

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.low = -torch.inf if config.low is None else config.low
        self.high = torch.inf if config.high is None else config.high
        self.clips = config.outside == "clip"
        self.refuses = config.outside == "error"

    def forward(self, values: Tensor) -> Tensor:
        kept = torch.isfinite(values)
        if not self.clips:
            kept = kept & (values >= self.low) & (values <= self.high)
        return torch.where(kept, values.clamp(self.low, self.high), torch.nan)

    def num_refused(self, values: Tensor) -> int:
        if not self.refuses:
            return 0
        return int((torch.isfinite(values) & ((values < self.low) | (values > self.high))).sum())
