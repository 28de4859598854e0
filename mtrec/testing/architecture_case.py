"""An architecture built for a check, and rows for it."""

from typing import Any

import torch
from pydantic import BaseModel
from torch import Tensor, nn

__all__ = ["NUM_TASKS", "WIDTH", "arguments", "build", "rows"]

WIDTH = 20
NUM_TASKS = 3
NUM_TOKENS = 6


def arguments(architecture: type[Any], config: BaseModel, *, num_units: int | None = None, num_tasks: int = NUM_TASKS) -> dict[str, Any]:
    """What `__init__` takes; an architecture that asks for categories gets two, where there are as many tasks."""
    units = _num_units(architecture) if num_units is None else num_units
    given = {"width": WIDTH, "num_units": units, "num_tasks": num_tasks, "config": config}
    if getattr(architecture, "needs_categories", False):
        given["categories"] = [task % 2 for task in range(num_tasks)]
    return given


def build(architecture: type[Any], config: BaseModel, *, num_units: int | None = None, num_tasks: int = NUM_TASKS, seed: int = 0) -> nn.Module:
    """The architecture, started from a seed, the caller's random state untouched."""
    given = arguments(architecture, config, num_units=num_units, num_tasks=num_tasks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = architecture(**given)
    return model


def rows(architecture: type[Any], num_rows: int, *, num_units: int | None = None, seed: int = 0) -> Tensor:
    """Standard normal inputs: [B, D] for one unit, else [B, U, D], and always that for an architecture that reads tokens."""
    units = _num_units(architecture) if num_units is None else num_units
    shape = (num_rows, WIDTH) if units == 1 and not _reads_tokens(architecture) else (num_rows, units, WIDTH)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def _num_units(architecture: type[Any]) -> int:
    return NUM_TOKENS if _reads_tokens(architecture) else 1


def _reads_tokens(architecture: type[Any]) -> bool:
    return "fields" in architecture.requires
