"""The weighting that does nothing."""

import torch

from mtrec.objective.weightings.equal import Config, Equal
from mtrec.testing.weighting import signals_of_step


def test_every_task_weighs_one() -> None:
    assert torch.equal(Equal(3, Config()).weights(signals_of_step(0, 3)), torch.ones(3))
    assert Equal.reads == frozenset()
