"""A loss whose positives count more: its minimum, and what serving makes of it."""

import math

import pytest
import torch
from torch import tensor
from torch.nn import functional
from torch.testing import assert_close

from mtrec.model.outputs import Outputs
from mtrec.objective.losses import bce
from mtrec.objective.positive_weight import PositiveWeight
from mtrec.schema import Label, Task
from mtrec.training.assemble import build_losses


def test_equals_that_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(50, generator=generator), (torch.rand(50, generator=generator) < 0.3).float()
    found = PositiveWeight(bce.BCE(bce.Config()), 5.0)(logits, labels)
    expected = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=tensor(5.0), reduction="none")
    assert_close(found, expected)


@pytest.mark.parametrize("weight", [0.2, 1.0, 7.0])
def test_what_is_served_at_the_minimum_is_the_share_of_positives(weight: float) -> None:
    labels = tensor([1.0] * 3 + [0.0] * 17)
    tasks = {"click": Task(label=Label(column="c"), positive_weight=weight)}
    losses, outputs = build_losses(tasks), Outputs(tasks, [0.0], [1.0])
    logit = tensor(0.0, requires_grad=True)
    mask, weights = torch.ones(20, 1, dtype=torch.bool), torch.ones(20)
    for _ in range(300):
        loss = losses(logit.expand(20, 1), labels[:, None], mask, weights).mean.sum()
        (gradient,) = torch.autograd.grad(loss, logit)
        with torch.no_grad():
            logit -= 2.0 / max(1.0, weight) * gradient
    assert logit.item() == pytest.approx(math.log(weight * 3 / 17), abs=1e-4)
    assert outputs.conditional(logit.detach().reshape(1, 1)).item() == pytest.approx(3 / 20, abs=1e-5)


def test_unknown_labels_take_no_part() -> None:
    losses = build_losses({"click": Task(label=Label(column="c"), positive_weight=3.0)})
    logits = torch.zeros(3, 1, requires_grad=True)
    found = losses(logits, tensor([[1.0], [0.0], [1.0]]), tensor([[True], [True], [False]]), torch.ones(3))
    assert_close(found.per_sample[:, 0], math.log(2) * tensor([3.0, 1.0, 0.0]))
    assert_close(found.mean, tensor([math.log(2) * 4 / 2]))  # Over the weight of the rows, as without.
