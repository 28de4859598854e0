"""Shared-bottom: one MLP, whatever the task."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures.shared_bottom import Config, SharedBottom
from mtrec.model.nn.mlp import MLP


def make(num_units: int = 1) -> tuple[SharedBottom, MLP]:
    torch.manual_seed(0)
    model, mlp = SharedBottom(5, num_units, 3, Config(hidden=[6, 2])), MLP(5, [6, 2])
    for linear, stacked in zip(mlp.layers, [model.layer.first, *model.layer.later.layers], strict=True):
        linear.weight.data, linear.bias.data = stacked.weight[0].detach(), stacked.bias[0].detach()
    return model, mlp


def test_is_an_mlp_for_every_task() -> None:
    model, mlp = make()
    x = torch.randn(7, 5)
    assert_close(model(x), mlp(x).unsqueeze(1).expand(7, 3, 2), rtol=1e-6, atol=1e-6)


def test_an_input_for_each_task_goes_through_the_same_mlp() -> None:
    model, mlp = make(num_units=3)
    x = torch.randn(7, 3, 5)
    assert_close(model(x), mlp(x), rtol=1e-6, atol=1e-6)


def test_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in make()[0].parameters()) == (5 + 1) * 6 + (6 + 1) * 2


def test_other_numbers_of_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match="one input, or one a task"):
        make(num_units=2)
