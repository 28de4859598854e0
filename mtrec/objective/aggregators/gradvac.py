"""Gradients that lie further apart than usual are drawn together, pair by pair.

Shapes: T tasks, P tasks present in the batch.
"""

import math

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.objective.seeded import generator_of
from mtrec.schema import Strict

__all__ = ["Config", "GradVac"]


class Config(Strict):
    """Options of Gradient Vaccine.

    Attributes:
        beta: how fast the usual cosine of a pair follows the one seen: usual = (1 - beta) usual + beta seen.
        seed: of the orders.
    """

    beta: NonNegativeFloat = Field(default=0.01, le=1)
    seed: NonNegativeInt = 0


class GradVac(GramianAggregator):
    """PCGrad with a goal other than the right angle: where the cosine c of g'_i and g_j is below the usual one, C_ij, g_j is added until it is C_ij.

        g'_i += g_j |g'_i| (C_ij sqrt(1 - c^2) - c sqrt(1 - C_ij^2)) / (|g_j| sqrt(1 - C_ij^2))

    then C_ij = (1 - beta) C_ij + beta c, and g = sum_i g'_i. C starts at 0, so that the first step is that of PCGrad with the same orders.

    Cost: 1 backward pass. Source: Wang et al., Gradient Vaccine, ICLR 2021, on each layer's parameters; here on the gradients at the cut.
    """

    paper = "Wang et al., Gradient Vaccine, ICLR 2021"
    expected_failures = {"check_task_order_is_kept": "the order of the pairs is drawn by the tasks' places"}

    usual_TT: Tensor
    num_calls: Tensor

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.beta, self.seed = config.beta, config.seed
        self.register_buffer("usual_TT", torch.zeros(num_tasks, num_tasks, dtype=torch.float64))
        self.register_buffer("num_calls", torch.zeros((), dtype=torch.int64))

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        generator = generator_of(self.seed, int(self.num_calls))
        self.num_calls += 1
        place = present_T.nonzero().flatten().tolist()
        weights_PP = torch.eye(len(gramian_PP), dtype=torch.float64)
        for i, weights_P in enumerate(weights_PP):
            for j in torch.randperm(len(gramian_PP), generator=generator).tolist():
                if j != i:
                    self._draw_together(weights_P, gramian_PP, j, self.usual_TT[place[i], place[j]])
        return weights_PP.sum(0)

    def _draw_together(self, weights_P: Tensor, gramian_PP: Tensor, j: int, usual: Tensor) -> None:
        product_P = gramian_PP @ weights_P
        own, other = math.sqrt(max(float(weights_P @ product_P), 0.0)), math.sqrt(float(gramian_PP[j, j]))
        if own == 0.0:
            return
        seen, goal = max(-1.0, min(1.0, float(product_P[j]) / (own * other))), float(usual)
        if seen < goal < 1.0:
            sine, goal_sine = math.sqrt(1 - seen**2), math.sqrt(1 - goal**2)
            weights_P[j] += own * (goal * sine - seen * goal_sine) / (other * goal_sine)
        usual.lerp_(usual.new_tensor(seen), self.beta)
