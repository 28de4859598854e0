"""Cross-stitch against its equations, and how it starts."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures.cross_stitch import Config, CrossStitch
from tests.model.architectures.by_hand import expert, reached, settle

D, T, B = 5, 3, 4


def make(num_units: int = 1, stitched: bool = True) -> CrossStitch:
    torch.manual_seed(0)
    model = settle(CrossStitch(D, num_units, T, Config(expert_hidden=[[7, 6], [4]])))
    with torch.no_grad():
        for layer in (model.lower[0], model.layer) if stitched else ():
            layer.residual.normal_()
    return model


def by_the_equations(model: CrossStitch, x_TD: list[Tensor]) -> Tensor:
    for layer in (model.lower[0], model.layer):
        experts = [expert(layer, task, x_TD[task]) for task in range(T)]
        x_TD = [sum(layer.residual[T * task + other] * experts[other] for other in range(T)) for task in range(T)]
    return torch.stack(x_TD)


def test_equals_its_equations() -> None:
    model, x = make(), torch.randn(B, D).double()
    assert_close(model(x), torch.stack([by_the_equations(model, [row] * T) for row in x]), rtol=1e-6, atol=1e-9)


def test_an_input_for_each_task() -> None:
    model, x = make(num_units=T), torch.randn(B, T, D).double()
    assert_close(model(x), torch.stack([by_the_equations(model, list(row)) for row in x]), rtol=1e-6, atol=1e-9)


def test_it_starts_as_the_identity_with_tasks_apart() -> None:
    model = make(stitched=False)
    z_BTH = model(torch.randn(B, D).double())
    for layer in (model.lower[0], model.layer):
        assert torch.equal(layer.residual.view(T, T), torch.eye(T).double())
        for task in range(T):
            assert reached(z_BTH[:, task], layer) == [expert == task for expert in range(T)]
    z_BTH.square().sum().backward()
    assert (model.layer.residual.grad != 0).all()


def test_number_of_parameters() -> None:
    expected = T * ((D + 1) * 7 + (7 + 1) * 6) + T * (6 + 1) * 4 + 2 * T * T
    assert sum(parameter.numel() for parameter in make().parameters()) == expected


def test_a_shared_input_is_refused() -> None:
    with pytest.raises(ConfigError, match="cross_stitch reads one input, or one a task"):
        make(num_units=T + 1)
