"""Weights that somebody chose.

Shapes: T tasks.
"""

import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn

from mtrec.errors import ConfigError
from mtrec.schema import Strict
from mtrec.types import Signals

__all__ = ["Config", "Fixed"]


class Config(Strict):
    """Options of fixed weights.

    Attributes:
        weights: one a task, in the order of the tasks; only their proportions count. None at all: the same for every task.
    """

    weights: list[NonNegativeFloat] = []


class Fixed(nn.Module):
    """w_t = T c_t / sum c with the c_t of the configuration, so that their sum is T, as with equal weights.

    Cost: 1 backward pass. The `weight` of a task, which multiplies what any weighting gives, is not brought to a sum.
    """

    paper = "weights by hand"
    reads: frozenset[str] = frozenset()

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        chosen = torch.tensor(config.weights or [1.0] * num_tasks)
        if len(chosen) != num_tasks or float(chosen.sum()) <= 0:
            expected = f"{num_tasks} weights, one a task, not all 0"
            raise ConfigError("The weights do not fit the tasks", where="objective.weighting.weights", found=config.weights, expected=expected)
        self.weight_T = num_tasks * chosen / chosen.sum()

    def weights(self, signals: Signals) -> Tensor:
        """-> [T] float32, on the device of the signals."""
        return self.weight_T.to(signals.losses.device)
