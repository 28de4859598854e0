import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from mtrec.training.ema import AveragedWeights


def test_two_steps_by_hand() -> None:
    weight = tensor([1.0, 0.0])
    averaged = AveragedWeights({"w": weight}, 0.9)
    weight.copy_(tensor([2.0, 10.0]))
    averaged.update()
    assert_close(averaged.average["w"], tensor([1.1, 1.0]))
    weight.copy_(tensor([0.0, 0.0]))
    averaged.update()
    assert_close(averaged.average["w"], tensor([0.99, 0.9]))


def test_a_constant_weight_is_approached_as_a_power_of_the_decay() -> None:
    weight = tensor([0.0])
    averaged = AveragedWeights({"w": weight}, 0.8)
    weight.fill_(1.0)
    for _ in range(10):
        averaged.update()
    assert_close(averaged.average["w"], tensor([1.0 - 0.8**10]))
    still = AveragedWeights({"w": weight}, 0.8)
    still.update()
    assert torch.equal(still.average["w"], weight)


def test_applied_restores_the_weights_even_after_an_error() -> None:
    weight = torch.nn.Parameter(tensor([1.0]))
    averaged = AveragedWeights({"w": weight}, 0.5)
    with torch.no_grad():
        weight.fill_(3.0)
    averaged.update()
    with pytest.raises(KeyError), averaged.applied():
        assert weight.item() == 2.0
        raise KeyError
    assert weight.item() == 3.0 and averaged.average["w"].item() == 2.0
