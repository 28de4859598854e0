"""Weights drawn anew in every step: the control that a weighting has to beat.

Shapes: T tasks.
"""

import torch
from pydantic import NonNegativeInt
from torch import Tensor, nn

from mtrec.objective.seeded import generator_of
from mtrec.schema import Strict
from mtrec.types import Signals

__all__ = ["Config", "Random"]


class Config(Strict):
    """Options of random weights.

    Attributes:
        seed: of the draws.
    """

    seed: NonNegativeInt = 0


class Random(nn.Module):
    """w = T softmax(e) with e_t from a standard normal distribution, by seed and step alone: the same on all ranks, and after a resume.

    Cost: 1 backward pass. Source: Lin et al., Reasonable Effectiveness of Random Weighting, TMLR 2022; theirs sum to 1, here to T, as equal weights.
    """

    paper = "Lin et al., Reasonable Effectiveness of Random Weighting: A Litmus Test for Multi-Task Learning, TMLR 2022"
    reads = frozenset({"step"})
    expected_failures = {"check_task_order_is_kept": "weights are drawn by the tasks' places"}

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.num_tasks, self.seed = num_tasks, config.seed

    def weights(self, signals: Signals) -> Tensor:
        """-> [T] float32, on the device of the signals."""
        draw_T = torch.randn(self.num_tasks, generator=generator_of(self.seed, signals.step))
        return (self.num_tasks * draw_T.softmax(0)).to(signals.losses.device)
