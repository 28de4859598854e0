"""Each task's gradient is moved as little as needed to hurt no task, then all are added up.

Shapes: P tasks present in the batch.
"""

import torch
from torch import Tensor

from mtrec.objective.cones import nearest_in_dual_cone
from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["Config", "UPGrad"]


class Config(Strict):
    """Nothing to choose."""


class UPGrad(GramianAggregator):
    """g = sum_i p_i, p_i the vector nearest to g_i with <p_i, g_t> >= 0 for every task t.

    So no task's loss grows to first order, and a task with a longer gradient counts more, as in the plain sum, which it is without conflicts.

    Cost: 1 backward pass. Source: Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, 2024; they take the mean, here it is the
    sum, and the projections are non-negative least squares on the Gramian.
    """

    paper = "Quinton and Rey, Jacobian Descent for Multi-Objective Optimization, arXiv 2406.16232, 2024"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        return torch.stack([nearest_in_dual_cone(gramian_PP, task) for task in range(len(gramian_PP))]).sum(0)
