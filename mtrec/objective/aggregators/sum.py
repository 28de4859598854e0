"""The plain sum of the tasks' gradients.

Shapes: P tasks present in the batch.
"""

import torch
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["Config", "Sum"]


class Config(Strict):
    """Nothing to choose."""


class Sum(GramianAggregator):
    """g = sum_t g_t, which is what training without an aggregator does; with it, lengths and cosines of the gradients are logged.

    Cost: 1 backward pass.
    """

    paper = "the plain sum of gradients"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        return torch.ones(len(gramian_PP), dtype=torch.float64)
