"""Single-task models: as many MLPs as tasks, and nothing between them."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures.single_task import Config, SingleTask

D, T, B = 5, 3, 4


def make(num_units: int = 1) -> SingleTask:
    torch.manual_seed(0)
    return SingleTask(D, num_units, T, Config(hidden=[6, 2])).double()


@pytest.mark.parametrize("num_units", [1, T])
def test_is_an_mlp_of_its_own_for_each_task(num_units: int) -> None:
    model, x = make(num_units), torch.randn((B, D) if num_units == 1 else (B, T, D)).double()
    for task in range(T):
        h = x if num_units == 1 else x[:, task]
        for linear in model.experts.layers:
            h = (h @ linear.weight[task].T + linear.bias[task]).clamp(min=0)
        assert_close(model(x)[:, task], h, rtol=1e-6, atol=1e-9)


def test_no_task_moves_the_weights_of_another() -> None:
    model = make()
    with torch.no_grad():
        for linear in model.experts.layers:
            linear.bias.fill_(1.0)
    model(torch.randn(B, D).double())[:, 1].sum().backward()
    for parameter in model.parameters():
        assert (parameter.grad[[0, 2]] == 0).all()
        assert (parameter.grad[1] != 0).any()


def test_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in make().parameters()) == T * ((D + 1) * 6 + (6 + 1) * 2)


def test_other_numbers_of_inputs_are_refused() -> None:
    with pytest.raises(ConfigError, match="one input, or one a task"):
        make(num_units=T + 1)
