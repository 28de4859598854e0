"""Progress is shared out among the tasks by alpha-fairness.

Shapes: P tasks present in the batch.
"""

import torch
from pydantic import PositiveFloat
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["Config", "FairGrad"]


class Config(Strict):
    """Options of FairGrad.

    Attributes:
        alpha: 1 is proportional fairness, which is Nash-MTL; the larger, the more the task worst off counts.
    """

    alpha: PositiveFloat = 2.0


class FairGrad(GramianAggregator):
    """g = sum_t w_t g_t with w > 0 and <g, g_t> = w_t^(-1 / alpha) for every t: G w = w^(-1 / alpha).

    w is where w^T G w / 2 less the sum of an integral of w^(-1 / alpha) is least: a convex problem, solved by damped Newton steps.

    Cost: 1 backward pass. Source: Ban and Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024. Theirs has a length that does not
    follow that of the gradients (for alpha = 1 it is sqrt(T) always); here G is divided by the mean of its diagonal first, so that twice the
    gradients give twice the g, and one task is left as it is.
    """

    paper = "Ban and Ji, Fair Resource Allocation in Multi-Task Learning, ICML 2024"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.power = 1 / config.alpha

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        gramian_PP = gramian_PP / gramian_PP.diagonal().mean()
        # By as much as float32 may be wrong: opposite gradients have no solution, the weights would grow for ever.
        gramian_PP = gramian_PP + torch.diag(torch.finfo(torch.float32).eps * gramian_PP.diagonal())
        weights_P = gramian_PP.diagonal() ** (-1 / (1 + self.power))
        for _ in range(200):
            gradient_P = gramian_PP @ weights_P - weights_P**-self.power
            hessian_PP = gramian_PP + torch.diag(self.power * weights_P ** (-self.power - 1))
            step_P = torch.linalg.solve(hessian_PP, gradient_P)
            if float(gradient_P @ step_P) < 1e-24:
                break
            weights_P = self._damped(gramian_PP, weights_P, gradient_P, step_P)
        return weights_P

    def _damped(self, gramian_PP: Tensor, weights_P: Tensor, gradient_P: Tensor, step_P: Tensor) -> Tensor:
        """The first of w - step, w - step / 2, ... that is positive and better."""
        before, size = self._objective(gramian_PP, weights_P), 1.0
        while size > 1e-12:
            tried_P = weights_P - size * step_P
            if bool((tried_P > 0).all()) and self._objective(gramian_PP, tried_P) <= before - 1e-4 * size * float(gradient_P @ step_P):
                return tried_P
            size /= 2
        return weights_P

    def _objective(self, gramian_PP: Tensor, weights_P: Tensor) -> float:
        integral_P = weights_P.log() if self.power == 1 else weights_P ** (1 - self.power) / (1 - self.power)
        return float(weights_P @ gramian_PP @ weights_P / 2 - integral_P.sum())
