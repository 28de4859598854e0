"""Weights from reinforcement learning: a row counts the more, the worse its session is expected to go on.

Shapes: B rows, T tasks.
"""

import math
from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn

from mtrec import ranks
from mtrec.schema import Strict
from mtrec.types import Signals

__all__ = ["Config", "Rmtl"]

Control = Literal["none", "const_mean", "shuffle"]


class Config(Strict):
    """A run is pretrained with equal weights for at most `pretrain_epochs`, then critics learn for at most `critic_epochs`, then `training.epochs`
    go on with these weights.

    `scale` is lambda below, `gamma` how much the next row of the session counts, `reward_clip` the least probability whose logarithm is taken.
    `normalise: batch_mean` divides by the mean weight of the batch, so that the learning rate is not scaled. `control` trains without what
    the method claims to know: `const_mean` gives each row of a task the task's mean weight in the batch, `shuffle` the weight of another row.
    With `controls` both are trained beside a run without control, from the same pretrained model on the same batches, and reported beside it.
    `critic_hidden` and `critic_lr` are of the critics.
    """

    scale: NonNegativeFloat = 0.7
    gamma: NonNegativeFloat = Field(default=0.95, lt=1)
    reward_clip: PositiveFloat = Field(default=1e-4, lt=0.5)
    normalise: Literal["none", "batch_mean"] = "none"
    control: Control = "none"
    controls: bool = True
    pretrain_epochs: PositiveInt = 3
    critic_epochs: PositiveInt = 20
    critic_hidden: list[PositiveInt] = [128, 64]
    critic_lr: PositiveFloat = 1e-3


class Rmtl(nn.Module):
    """w = 1 - lambda Q(s, a), from 1 to 1 - lambda log(reward_clip) / (1 - gamma), with what the critics of binary tasks expect: Q <= 0.

    Regression tasks, and all tasks before there are critics, have the weight 1, up to `normalise`. Means are over the rows that know a task's
    label, of all ranks; `shuffle` moves weights among those rows of one rank, by draws that depend on the step alone.

    Publication and published code disagree with each other; `docs/decisions/004-weights-by-critics.md` says what is done here, and why.

    Attributes:
        control: that of the stretch of training at hand.
    """

    paper = "Multi-Task Recommendations with Reinforcement Learning, arXiv 2302.03328"
    reads = frozenset({"mask", "critic_values", "step"})
    expected_failures = {"check_one_task_is_left_alone": "rows of one session count differently, whatever the number of tasks"}

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.config = config
        self.control: Control = config.control

    @torch.no_grad()
    def weights(self, signals: Signals) -> Tensor:
        """-> [B, T] float32"""
        most = 1.0 - self.config.scale * math.log(self.config.reward_clip) / (1.0 - self.config.gamma)
        weights_BT = (1.0 - self.config.scale * signals.critic_values).clamp(1.0, most)
        if self.config.normalise == "batch_mean":
            weights_BT = weights_BT / _means(weights_BT, signals.mask, by_task=False)
        if self.control == "const_mean":
            return _means(weights_BT, signals.mask, by_task=True).expand_as(weights_BT).clone()
        if self.control == "shuffle":
            return self._shuffled(weights_BT, signals.mask, signals.step)
        return weights_BT

    def _shuffled(self, weights_BT: Tensor, mask_BT: Tensor, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(step)
        shuffled_BT = weights_BT.clone()
        order = torch.randperm(len(mask_BT), generator=generator)  # One for all tasks: a task's weights do not depend on its place.
        for task in range(mask_BT.shape[1]):
            known = mask_BT[:, task]
            shuffled_BT[known, task] = weights_BT[order[known[order]], task]
        return shuffled_BT


def _means(weights_BT: Tensor, mask_BT: Tensor, by_task: bool) -> Tensor:
    """Over the known rows of each task, [T], or of all tasks together, [1]; 1 where nothing is known."""
    sums = ranks.all_sum(torch.stack([torch.where(mask_BT, weights_BT, 0.0).sum(0), mask_BT.sum(0).to(weights_BT.dtype)]))
    total, count = sums if by_task else sums.sum(1, keepdim=True)
    return torch.where(count > 0, total / count.clamp(min=1), 1.0)
