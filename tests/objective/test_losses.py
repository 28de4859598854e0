"""Losses in closed form."""

import math

import pytest
import torch
from torch import Tensor, nn, tensor
from torch.testing import assert_close

from mtrec import registry
from mtrec.objective.losses import bce, huber, mse

SIZES = tensor([-1e4, -1.0, 0.0, 1.0, 1e4])


def test_bce_of_hand_numbers() -> None:
    loss = bce.BCE(bce.Config())
    found = loss(tensor([0.0, math.log(3), math.log(3), -1e4, 1e4]), tensor([1.0, 1.0, 0.0, 1.0, 1.0]))
    assert_close(found, tensor([math.log(2), math.log(4 / 3), math.log(4), 1e4, 0.0]))


def test_mse_of_hand_numbers() -> None:
    assert_close(mse.MSE(mse.Config())(tensor([1.0, -2.0]), tensor([3.0, -2.0])), tensor([4.0, 0.0]))


@pytest.mark.parametrize(("delta", "expected"), [(1.0, [0.125, 0.5, 2.5]), (2.0, [0.125, 0.5, 4.0])])
def test_huber_of_hand_numbers(delta: float, expected: list[float]) -> None:
    loss = huber.Huber(huber.Config(delta=delta))
    assert_close(loss(tensor([0.5, 1.0, -3.0]), torch.zeros(3)), tensor(expected))


def test_huber_gradient_is_bounded_by_delta() -> None:
    logits = SIZES.clone().requires_grad_()
    huber.Huber(huber.Config(delta=0.5))(logits, torch.zeros(5)).sum().backward()
    assert_close(logits.grad, tensor([-0.5, -0.5, 0.0, 0.5, 0.5]))


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("name", registry.names("losses"))
def test_finite_with_finite_gradients_at_any_size(name: str, label: float) -> None:
    part, config = registry.part("losses", name)
    loss: nn.Module = part(config())
    assert part.kinds <= {"binary", "regression"} and part.kinds
    logits = SIZES.clone().requires_grad_()
    found: Tensor = loss(logits, torch.full((5,), label))
    found.sum().backward()
    assert found.shape == (5,) and found.isfinite().all() and (found >= 0).all()
    assert logits.grad.isfinite().all()
