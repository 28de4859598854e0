import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from mtrec.training.ema import AveragedWeights


def test_two_steps_by_hand() -> None:
    weight = tensor([1.0, 0.0])
    averaged = AveragedWeights({"w": weight}, 0.9)
    weight.copy_(tensor([2.0, 10.0]))
    averaged.update(0)
    assert_close(averaged.average["w"], tensor([1.1, 1.0]))
    weight.copy_(tensor([0.0, 0.0]))
    averaged.update(1)
    assert_close(averaged.average["w"], tensor([0.99, 0.9]))


def test_a_constant_weight_is_approached_as_a_power_of_the_decay() -> None:
    weight = tensor([0.0])
    averaged = AveragedWeights({"w": weight}, 0.8)
    weight.fill_(1.0)
    for step in range(10):
        averaged.update(step)
    assert_close(averaged.average["w"], tensor([1.0 - 0.8**10]))
    still = AveragedWeights({"w": weight}, 0.8)
    still.update(0)
    assert torch.equal(still.average["w"], weight)


def test_applied_restores_the_weights_even_after_an_error() -> None:
    weight = torch.nn.Parameter(tensor([1.0]))
    averaged = AveragedWeights({"w": weight}, 0.5)
    with torch.no_grad():
        weight.fill_(3.0)
    averaged.update(0)
    with pytest.raises(KeyError), averaged.applied():
        assert weight.item() == 2.0
        raise KeyError
    assert weight.item() == 3.0 and averaged.average["w"].item() == 2.0


def test_first_statistics_are_forgotten_soon_and_the_decay_is_that_of_weights_then() -> None:
    weight, statistic = tensor([0.0], dtype=torch.float64), tensor([0.0], dtype=torch.float64)
    averaged = AveragedWeights({"w": weight}, 0.98, {"s": statistic})
    weight.fill_(1.0)
    statistic.fill_(1.0)
    left = 1.0
    for step in range(600):
        averaged.update(step)
        left *= (1 + step) / (10 + step) if step < 440 else 0.98  # 441 / 450 is .98.
        assert_close(averaged.average["s"], tensor([1.0 - left], dtype=torch.float64))
        assert step != 20 or (left < 1e-4 and averaged.average["w"].item() < 0.4)
    with averaged.applied():
        assert statistic.item() == averaged.average["s"].item()
    assert statistic.item() == 1.0
