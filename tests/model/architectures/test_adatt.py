"""AdaTT with and without a shared unit, against its equations and at its limits."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures import adatt, adatt_sp
from mtrec.testing.architecture import check_architecture
from tests.model.architectures.by_hand import gate, level_experts, reached, settle

D, T, B = 5, 3, 4
CASES: dict[str, dict[str, Any]] = {
    "general": {},
    "one_level": {"expert_hidden": [6, 4]},
    "deep": {"expert_hidden": [[7, 6], [5], [4]], "shared_experts": 2},
    "sp": {"shared_experts": 0},
    "uneven": {"task_experts": [1, 3, 0], "shared_experts": 2},
    "one_each": {"task_experts": 1, "shared_experts": 1},
    "one_each_sp": {"task_experts": 1, "shared_experts": 0},
    "one_each_but_two_shared": {"task_experts": 1, "shared_experts": 2},
}


def make(num_units: int = 1, num_tasks: int = T, **options: Any) -> adatt.AdaTT:
    torch.manual_seed(0)
    given = {"expert_hidden": [[6], [4]], **options}
    return settle(adatt.AdaTT(D, num_units, num_tasks, adatt.Config(**given)))


def by_the_equations(model: adatt.AdaTT, options: dict[str, Any], x_UD: list[Tensor]) -> Tensor:
    """z [T, H] of one row; x_UD is what each unit reads on the first level, the shared one last."""
    own = options.get("task_experts", 2)
    shared = options.get("shared_experts", 1)
    counts = ([own] * T if isinstance(own, int) else own) + ([shared] if shared else [])
    layers = [*model.lower, model.layer]
    for place, layer in enumerate(layers):
        experts = level_experts(layer, counts, x_UD)
        everything = [value for unit in experts for value in unit]
        z, num_learned = [], 0
        for unit in range(T if place == len(layers) - 1 else len(counts)):
            weights = gate(layer, unit * len(everything), everything, x_UD[unit])
            fused = sum(weight * value for weight, value in zip(weights, everything, strict=True))
            for value in experts[unit]:
                share = 1.0 if set(counts) == {1} else layer.residual[num_learned]
                num_learned += 1
                fused = fused + share * value
            z.append(fused)
        x_UD = z
    return torch.stack(x_UD)


@pytest.mark.parametrize("name", CASES)
def test_equals_its_equations(name: str) -> None:
    model, x = make(**CASES[name]), torch.randn(B, D).double()
    expected = torch.stack([by_the_equations(model, CASES[name], [row] * (T + 1)) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_an_input_for_each_task(name: str) -> None:
    model, x = make(num_units=T, **CASES[name]), torch.randn(B, T, D).double()
    expected = torch.stack([by_the_equations(model, CASES[name], [*row, row.mean(dim=0)]) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-9)


def test_an_input_for_each_unit() -> None:
    model, x = make(num_units=T + 1), torch.randn(B, T + 1, D).double()
    assert_close(model(x), torch.stack([by_the_equations(model, {}, list(row)) for row in x]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["one_level", "uneven"])
def test_zero_gates_give_the_mean_and_the_residual(name: str) -> None:
    model = make(**{**CASES[name], "expert_hidden": [6, 4]})
    with torch.no_grad():
        model.layer.gates.weight.zero_()
        model.layer.gates.bias.zero_()
    experts_BEH, gate_x = model.shared(torch.randn(B, D).double())
    own = {"one_level": [2, 2, 2], "uneven": [1, 3, 0]}[name]
    z_BTH = model.tasks([experts_BEH, gate_x])
    for task, count in enumerate(own):
        first = sum(own[:task])
        v_m = model.layer.residual[first : first + count]
        residual_BH = torch.einsum("m,bmh->bh", v_m, experts_BEH[:, first : first + count])
        assert_close(z_BTH[:, task], experts_BEH.mean(dim=1) + residual_BH, rtol=1e-12, atol=1e-12)


def test_one_expert_each_and_all_equal_is_doubled() -> None:
    model = make(expert_hidden=[6, 4], task_experts=1, shared_experts=1)
    assert model.layer.residual is None
    with torch.no_grad():
        for parameter in [*model.layer.first.parameters(), *model.layer.later.parameters()]:
            parameter.copy_(parameter[:1].expand_as(parameter).clone())
    x = torch.randn(B, D).double()
    assert_close(model(x), 2 * model.shared(x)[0][:, :1].expand(B, T, 4), rtol=1e-12, atol=1e-12)


def test_gates_closed_but_for_native_experts_are_models_of_their_own() -> None:
    model = make(shared_experts=0)
    with torch.no_grad():
        for layer in (model.lower[0], model.layer):
            native_RE = layer.native_RE.bool().flatten()
            layer.gates.bias[~native_RE] = float("-inf")
            layer.residual.zero_()
    z_BTH = model(torch.randn(B, D).double())
    for layer in (model.lower[0], model.layer):
        for task in range(T):
            assert reached(z_BTH[:, task], layer) == [expert // 2 == task for expert in range(2 * T)]


def test_permuting_tasks_permutes_outputs() -> None:
    order = [2, 0, 1]
    model, other = make(num_units=T + 1), make(num_units=T + 1)
    units = [*order, T]
    with torch.no_grad():
        for layer, permuted in zip([*model.lower, model.layer], [*other.lower, other.layer], strict=True):
            experts = [2 * unit + i for unit in order for i in range(2)] + [2 * T]
            for name, parameter in permuted.first.named_parameters():
                parameter.copy_(layer.first.get_parameter(name)[experts])
            rows = units[: layer.num_rows]
            for name in ("weight", "bias"):
                by_row = getattr(layer.gates, name).unflatten(0, [layer.num_rows, layer.num_experts])
                getattr(permuted.gates, name).copy_(by_row[rows][:, experts].flatten(0, 1))
            shares = [2 * unit + i for unit in order for i in range(2)] + [2 * T] * (layer.num_rows - T)
            permuted.residual.copy_(layer.residual[shares])
    x = torch.randn(B, T + 1, D).double()
    assert not torch.allclose(other(x), model(x))
    assert_close(other(x[:, units]), model(x)[:, order], rtol=1e-12, atol=1e-12)


def test_without_shared_experts_it_is_adatt_sp() -> None:
    model = make(shared_experts=0)
    other = adatt_sp.AdaTTSp(D, 1, T, adatt_sp.Config(expert_hidden=[[6], [4]])).double()
    other.load_state_dict(model.state_dict(), strict=True)
    x = torch.randn(B, D).double()
    assert torch.equal(model(x), other(x))
    with pytest.raises(ValidationError):
        adatt_sp.Config(shared_experts=1)


def test_the_native_share_starts_as_chosen() -> None:
    share = make(task_experts=[1, 3, 2], native_init="ones_over_m").lower[0].residual
    assert_close(share.detach(), torch.tensor([1.0, *[1 / 3] * 3, 0.5, 0.5, 1.0]).double(), rtol=1e-6, atol=1e-6)
    uniform = make(task_experts=400, native_init="uniform").lower[0].residual[: 400 * T]
    assert uniform.abs().max() <= 1 / 20 and abs(uniform.std().item() * 20 * 3**0.5 - 1) < 0.05


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 7 * (D + 1) * 6 + (T + 1) * (D + 1) * 7 + 7 * (6 + 1) * 4 + T * (6 + 1) * 7 + 2 * 6 + 1),
        ({"shared_experts": 0}, 6 * (D + 1) * 6 + T * (D + 1) * 6 + 6 * (6 + 1) * 4 + T * (6 + 1) * 6 + 2 * 6),
        ({"task_experts": 1}, 4 * (D + 1) * 6 + (T + 1) * (D + 1) * 4 + 4 * (6 + 1) * 4 + T * (6 + 1) * 4),
        ({"task_experts": 1, "shared_experts": 0, "expert_hidden": [4]}, 3 * (D + 1) * 4 + T * (D + 1) * 3),
    ],
)
def test_number_of_parameters(options: dict[str, Any], expected: int) -> None:
    config = adatt.Config(**{"expert_hidden": [[6], [4]], **options})
    assert sum(parameter.numel() for parameter in make(**options).parameters()) == expected == adatt.AdaTT.num_parameters(D, 1, T, config)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="3 numbers"):
        make(task_experts=[1, 2])
    with pytest.raises(ConfigError, match="no expert to look at"):
        make(task_experts=0, shared_experts=0)
    with pytest.raises(ConfigError, match="adatt_sp reads one input, or one a task"):
        adatt_sp.AdaTTSp(D, T + 1, T, adatt_sp.Config())


def test_one_task_with_one_expert() -> None:
    model = make(num_tasks=1, task_experts=1, shared_experts=0, expert_hidden=[4])
    x = torch.randn(B, D).double()
    assert_close(model(x), 2 * model.shared(x)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [adatt.Config(task_experts=1, native_init="ones_over_m"), adatt.Config(expert_hidden=[24, 12], shared_experts=3, gate={"kind": "exclusive"})],
    ids=["one_each", "exclusive"],
)
def test_it_keeps_the_contract(config: adatt.Config) -> None:
    check_architecture(adatt.AdaTT, config)
