"""One MLP and many side by side."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.model.nn.mlp import MLP, ParallelLinear, ParallelMLP, num_mlp_parameters


def test_every_layer_ends_in_a_relu() -> None:
    mlp = MLP(2, [1])
    with torch.no_grad():
        mlp.layers[0].weight.copy_(torch.tensor([[1.0, -2.0]]))
        mlp.layers[0].bias.fill_(0.5)
    assert_close(mlp(torch.tensor([[3.0, 1.0], [1.0, 3.0]])), torch.tensor([[1.5], [0.0]]))


@pytest.mark.parametrize("hidden", [[], [4], [4, 2]])
def test_number_of_parameters_is_the_formula(hidden: list[int]) -> None:
    expected = num_mlp_parameters(3, hidden)
    assert sum(parameter.numel() for parameter in MLP(3, hidden).parameters()) == expected
    assert sum(parameter.numel() for parameter in ParallelMLP(5, 3, hidden).parameters()) == 5 * expected


def test_no_layers_is_the_identity() -> None:
    x = torch.randn(4, 3)
    assert torch.equal(MLP(3, [])(x), x)
    assert MLP(3, []).output_width == 3


def test_parallel_networks_are_networks_of_their_own() -> None:
    parallel = ParallelMLP(3, 4, [5, 2])
    x_NBI = torch.randn(3, 6, 4)
    together = parallel(x_NBI)
    for network in range(3):
        alone = MLP(4, [5, 2])
        for linear, stacked in zip(alone.layers, parallel.layers, strict=True):
            linear.weight.data, linear.bias.data = stacked.weight[network].detach(), stacked.bias[network].detach()
        assert_close(together[network], alone(x_NBI[network]), rtol=1e-6, atol=1e-6)


def test_a_shared_input_is_the_same_input_for_each() -> None:
    parallel = ParallelLinear(3, 4, 2)
    x = torch.randn(6, 4)
    assert_close(parallel(x), parallel(x.expand(3, 6, 4)), rtol=1e-6, atol=1e-6)
    assert_close(parallel.shared(x, 1, 3), parallel(x)[1:])


def test_starts_xavier_normal_by_network_with_zero_biases() -> None:
    torch.manual_seed(0)
    parallel = ParallelLinear(4, 300, 200)
    for weight in parallel.weight:
        assert abs(weight.std().item() / (2 / 500) ** 0.5 - 1) < 0.02
    assert (parallel.bias == 0).all()
    assert all((layer.bias == 0).all() for layer in MLP(3, [4, 5]).layers)
