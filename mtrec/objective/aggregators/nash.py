"""The bargaining solution between the tasks.

Shapes: T tasks.
"""

from mtrec.objective.aggregators import fairgrad
from mtrec.schema import Strict

__all__ = ["Config", "Nash"]


class Config(Strict):
    """Nothing to choose."""


class Nash(fairgrad.FairGrad):
    """g = sum_t w_t g_t with w > 0 and G w = 1 / w: of all directions of one length, the one with the largest product of the tasks' gains.

    It is FairGrad with alpha = 1. Cost: 1 backward pass. Source: Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022. Theirs has the
    length sqrt(T) always; here it is that times the root mean square of the gradients' lengths. They take some steps of a convex-concave
    procedure, and new weights every few steps; here w is exact, in every step.
    """

    paper = "Navon et al., Multi-Task Learning as a Bargaining Game, ICML 2022"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__(num_tasks, fairgrad.Config(alpha=1.0))
