"""Conflicting parts of the tasks' gradients are projected out, pair by pair.

Shapes: T tasks, P tasks present in the batch.
"""

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.objective.seeded import generator_of
from mtrec.schema import Strict

__all__ = ["Config", "PCGrad"]


class Config(Strict):
    """Options of PCGrad.

    Attributes:
        seed: of the orders.
    """

    seed: NonNegativeInt = 0


class PCGrad(GramianAggregator):
    """For each task i, g'_i = g_i; for every other j in an order drawn anew: if <g'_i, g_j> < 0, g'_i -= <g'_i, g_j> / |g_j|^2 g_j. g = sum_i g'_i.

    The g_j are those before any projection. Without conflicts it is the plain sum. Each g'_i is a weighted sum of the gradients, so all is done
    on their Gramian. The orders depend on the seed and on how many steps were taken, and are the same on all ranks.

    Cost: 1 backward pass. Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, on the parameters' gradients; here on
    those at the cut.
    """

    paper = "Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020"
    expected_failures = {"check_task_order_is_kept": "the order of the projections is drawn by the tasks' places"}

    num_calls: Tensor

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.seed = config.seed
        self.register_buffer("num_calls", torch.zeros((), dtype=torch.int64))

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        generator = generator_of(self.seed, int(self.num_calls))
        self.num_calls += 1
        rows, num_tasks = gramian_PP.tolist(), len(gramian_PP)
        total = [0.0] * num_tasks
        for i in range(num_tasks):
            weights = [float(i == t) for t in range(num_tasks)]
            for j in torch.randperm(num_tasks, generator=generator).tolist():
                product = sum(weight * value for weight, value in zip(weights, rows[j], strict=True))
                if j != i and product < 0:
                    weights[j] -= product / rows[j][j]
            total = [one + other for one, other in zip(total, weights, strict=True)]
        return torch.tensor(total, dtype=torch.float64)
