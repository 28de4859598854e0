"""Every task the same.

Shapes: T tasks.
"""

import torch
from torch import Tensor, nn

from mtrec.schema import Strict
from mtrec.types import Signals

__all__ = ["Config", "Equal"]


class Config(Strict):
    """Nothing to choose."""


class Equal(nn.Module):
    """w_t = 1: the total loss is the sum, not the mean, of the tasks' mean losses."""

    paper = "the plain sum of losses"
    reads: frozenset[str] = frozenset()

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.num_tasks = num_tasks

    def weights(self, signals: Signals) -> Tensor:
        """-> [T] float32, on the device of the signals."""
        return torch.ones(self.num_tasks, device=signals.losses.device)
