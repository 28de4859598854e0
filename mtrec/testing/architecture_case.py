"""An architecture built for a check, and rows for it."""

from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

__all__ = ["NUM_TASKS", "WIDTH", "build", "rows"]

WIDTH = 20
NUM_TASKS = 3


def build(architecture: type[Any], config: BaseModel, *, num_units: int = 1, num_tasks: int = NUM_TASKS, seed: int = 0) -> nn.Module:
    """The architecture, started from a seed, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = architecture(WIDTH, num_units, num_tasks, config)
    return model


def rows(num_rows: int, *, num_units: int = 1, seed: int = 0) -> Tensor:
    """Standard normal inputs, [B, D] for one unit, else [B, U, D]."""
    shape = (num_rows, WIDTH) if num_units == 1 else (num_rows, num_units, WIDTH)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
