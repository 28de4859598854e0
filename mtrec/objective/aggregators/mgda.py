"""The shortest vector between the tasks' gradients.

Shapes: P tasks present in the batch.
"""

from torch import Tensor

from mtrec.objective.cones import min_norm_point
from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["MGDA", "Config"]


class Config(Strict):
    """Nothing to choose."""


class MGDA(GramianAggregator):
    """g = sum_t w_t g_t with the w >= 0, sum 1, that makes it shortest: no task's loss grows to first order, or g = 0 and none can be helped alone.

    A mean, not a sum: with tasks that agree it is about 1 / T of the plain sum. A task with a short gradient gets most of the weight.

    Cost: 1 backward pass. Source: Désidéri, Multiple-gradient descent algorithm, 2012; Sener and Koltun, Multi-Task Learning as
    Multi-Objective Optimization, NeurIPS 2018, whose form on shared activations this is. They find w by Frank-Wolfe steps, here it is exact.
    """

    paper = "Sener and Koltun, Multi-Task Learning as Multi-Objective Optimization, NeurIPS 2018"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        return min_norm_point(gramian_PP)
