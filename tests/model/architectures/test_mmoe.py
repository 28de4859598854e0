"""MMoE by hand, against a loop, and at its limits."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures import shared_bottom
from mtrec.model.architectures.mmoe import Config, MMoE
from mtrec.testing.architecture import check_architecture
from tests.model.architectures.by_hand import expert, gate, settle

D, T = 5, 3


def make(num_units: int = 1, **options: object) -> MMoE:
    torch.manual_seed(0)
    return MMoE(D, num_units, T, Config(**{"num_experts": 4, "expert_hidden": [6, 2], **options}))


def set_experts(model: MMoE, order: list[int]) -> None:
    with torch.no_grad():
        for parameter in [*model.layer.first.parameters(), *model.layer.later.parameters()]:
            parameter.copy_(parameter[order].clone())


def test_hand_numbers() -> None:
    """f = relu(2x), relu(4x) at x = 1, gate (1/4, 3/4): 0.25 * 2 + 0.75 * 4 = 3.5."""
    model = MMoE(1, 1, 1, Config(num_experts=2, expert_hidden=[1]))
    with torch.no_grad():
        model.layer.first.weight.copy_(tensor([[[2.0]], [[4.0]]]))
        model.layer.gates.weight.copy_(tensor([[0.0], [math.log(3)]]))
    assert_close(model(tensor([[1.0]])), tensor([[[3.5]]]))


def naive(model: MMoE, x_D: Tensor, task: int) -> Tensor:
    experts, logits = [], []
    for e in range(4):
        h = x_D
        for linear in [model.layer.first, *model.layer.later.layers]:
            h = torch.relu(linear.weight[e] @ h + linear.bias[e])
        experts.append(h)
        logits.append(model.layer.gates.weight[4 * task + e] @ x_D + model.layer.gates.bias[4 * task + e])
    powers = [torch.exp(logit) for logit in logits]
    return sum(power / sum(powers) * expert for power, expert in zip(powers, experts, strict=True))


def test_equals_a_naive_loop() -> None:
    model, x = make(), torch.randn(7, D)
    expected = torch.stack([torch.stack([naive(model, row, task) for task in range(T)]) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-6)


def test_an_input_for_each_task_goes_through_the_same_experts() -> None:
    model, x = make(num_units=T), torch.randn(7, T, D)
    expected = torch.stack([torch.stack([naive(model, row[task], task) for task in range(T)]) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-6)


def test_one_expert_is_shared_bottom_and_its_gate_learns_nothing() -> None:
    model = make(num_experts=1)
    bottom = shared_bottom.SharedBottom(D, 1, T, shared_bottom.Config(hidden=[6, 2]))
    bottom.load_state_dict({name: value for name, value in model.state_dict().items() if "gates" not in name}, strict=True)
    x = torch.randn(7, D)
    assert_close(model(x), bottom(x), rtol=0, atol=0)
    model(x).square().sum().backward()
    assert (model.layer.gates.weight.grad == 0).all() and (model.layer.gates.bias.grad == 0).all()


def test_permuting_experts_with_their_gate_rows_changes_nothing() -> None:
    model, x, order = make(), torch.randn(7, D), [2, 0, 3, 1]
    before = model(x)
    set_experts(model, order)
    assert not torch.allclose(model(x), before)
    with torch.no_grad():
        for parameter in (model.layer.gates.weight, model.layer.gates.bias):
            parameter.copy_(torch.cat([block[order] for block in parameter.split(4)]))
    assert_close(model(x), before, rtol=1e-6, atol=1e-6)


def test_identical_experts_make_all_tasks_equal() -> None:
    model, x = make(), torch.randn(7, D)
    assert not torch.allclose(model(x)[:, 0], model(x)[:, 1])
    set_experts(model, [0, 0, 0, 0])
    z_BTH = model(x)
    assert_close(z_BTH, z_BTH[:, :1].expand_as(z_BTH), rtol=1e-6, atol=1e-6)


def test_gate_rows_sum_to_one() -> None:
    gates_BTE = make().layer.gates(torch.randn(7, D))
    assert_close(gates_BTE.sum(dim=2), torch.ones(7, T))


@pytest.mark.parametrize("num_units", [2, T + 1])
def test_other_numbers_of_inputs_are_refused(num_units: int) -> None:
    with pytest.raises(ConfigError, match="one input, or one a task"):
        make(num_units=num_units)


@pytest.mark.parametrize("hidden", [[], [3, 2]])
def test_number_of_parameters(hidden: list[int]) -> None:
    experts = 4 * ((D + 1) * 6 + (6 + 1) * 2)
    gates = T * (D + 1) * 4 if not hidden else T * ((D + 1) * 3 + (3 + 1) * 2 + (2 + 1) * 4)
    model = make(gate={"kind": "softmax", "hidden": hidden})
    assert sum(parameter.numel() for parameter in model.parameters()) == experts + gates


def several_levels(model: MMoE, gate_input: str, x_D: Tensor) -> Tensor:
    """z [T, H] of one row: on all levels but the last a gate for each expert of the next."""
    before = [x_D] * 4
    for place, layer in enumerate([*model.lower, model.layer]):
        read = x_D if gate_input == "raw" or place == 0 else torch.cat(before)
        experts = [expert(layer, e, before[e]) for e in range(4)]
        num_gates = T if layer is model.layer else 4
        weights = [gate(layer, 4 * row, experts, read) for row in range(num_gates)]
        before = [sum(weight * value for weight, value in zip(row, experts, strict=True)) for row in weights]
    return torch.stack(before)


@pytest.mark.parametrize("gate_input", ["raw", "level"])
@pytest.mark.parametrize("num_units", [1, T])
def test_several_levels_equal_a_naive_loop(gate_input: str, num_units: int) -> None:
    model = settle(make(num_units, expert_hidden=[[7, 6], [5], [2]], gate_input=gate_input))
    x = torch.randn((7, D) if num_units == 1 else (7, T, D)).double()
    for row, z_TH in zip(x, model(x), strict=True):
        for task in range(T):
            own = row if num_units == 1 else row[task]
            assert_close(z_TH[task], several_levels(model, gate_input, own)[task], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("gate_input", "width"), [("raw", D), ("level", 4 * 6)])
def test_number_of_parameters_of_several_levels(gate_input: str, width: int) -> None:
    model = make(expert_hidden=[[6], [2]], gate_input=gate_input)
    expected = 4 * (D + 1) * 6 + 4 * (D + 1) * 4 + 4 * (6 + 1) * 2 + T * (width + 1) * 4
    assert sum(parameter.numel() for parameter in model.parameters()) == expected


def test_one_list_of_sizes_is_one_level() -> None:
    assert Config(expert_hidden=[6, 2]) == Config(expert_hidden=[[6, 2]])
    for wrong in ([], [[]], [6, [2]], [[6], []], [0]):
        with pytest.raises(ValidationError):
            Config(expert_hidden=wrong)


@pytest.mark.parametrize("num_units", [1, T])
def test_one_task_alone_is_its_part_of_all(num_units: int) -> None:
    model = make(num_units, expert_hidden=[[6], [2]]).double()
    shared = model.shared(torch.randn((7, D) if num_units == 1 else (7, T, D)).double())
    for task in range(T):
        assert_close(model.task_output(shared, task), model.tasks(shared)[:, task], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        Config(expert_hidden=[[24], [12]]),
        Config(expert_hidden=[[24], [12]], gate_input="level", gate={"kind": "softmax", "hidden": [8]}),
        Config(gate={"kind": "top_k", "k": 3}),
        Config(gate={"kind": "exclusive", "mode": "exclusion", "alpha": 0.5}),
    ],
    ids=["raw", "level", "top_k", "exclusive"],
)
def test_it_keeps_the_contract(config: Config) -> None:
    check_architecture(MMoE, config)
