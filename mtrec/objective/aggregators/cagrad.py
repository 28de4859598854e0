"""The direction near the sum that is best for the task worst off.

Shapes: P tasks present in the batch.
"""

import torch
from pydantic import Field, NonNegativeFloat
from scipy.optimize import brentq
from torch import Tensor

from mtrec.objective.cones import min_norm_point
from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["CAGrad", "Config"]


class Config(Strict):
    """Options of CAGrad.

    Attributes:
        c: how far from the mean the direction may go, in lengths of the mean; 0 is the plain sum.
    """

    c: NonNegativeFloat = Field(default=0.5, lt=1)


class CAGrad(GramianAggregator):
    """Of all d with |d - g_0| <= c |g_0|, g_0 the mean gradient, the one whose least product with any g_t is largest; g = P d for P tasks.

        d = g_0 + c |g_0| g_w / |g_w|,   g_w = sum_t w_t g_t,   w = argmin over w >= 0, sum 1, of <g_w, g_0> + c |g_0| |g_w|

    The argmin is the min-norm point of the vectors g_t + s g_0 for the one s with |g_w| = s c |g_0|, so it is found by a search for s.

    Cost: 1 backward pass. Source: Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021. P times the paper's d, so
    that c = 0 is the plain sum; public code divides by 1 + c^2 as well, here it does not.
    """

    paper = "Liu et al., Conflict-Averse Gradient Descent for Multi-task Learning, NeurIPS 2021"
    expected_failures = {"check_one_task_is_left_alone": "of one gradient it goes the whole way, 1 + c times"}

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.c = config.c

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        plain_P = torch.ones_like(gramian_PP[0])
        gramian_PP = gramian_PP / gramian_PP.diagonal().mean()
        with_mean_P = gramian_PP.mean(0)
        reach = self.c * float(with_mean_P.mean().clamp(min=0).sqrt())
        if reach < 1e-8:
            return plain_P

        def point(s: float) -> Tensor:
            return min_norm_point(gramian_PP + s * (with_mean_P.unsqueeze(0) + with_mean_P.unsqueeze(1)) + s * s * with_mean_P.mean())

        def length(weights_P: Tensor) -> float:
            return float((weights_P @ gramian_PP @ weights_P).clamp(min=0).sqrt())

        most = float(gramian_PP.diagonal().max().sqrt()) / reach
        weights_P = point(brentq(lambda s: length(point(s)) - s * reach, 0.0, 2 * most, xtol=1e-13))
        if length(weights_P) < 1e-8:  # Some mixture of the gradients is zero: no direction near the mean helps all.
            return plain_P
        return plain_P + len(plain_P) * reach / length(weights_P) * weights_P
