"""PLE against its equations, the gradients that its separation forbids, and its limits."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures import mmoe
from mtrec.model.architectures.ple import PLE, Config
from mtrec.testing.architecture import check_architecture
from tests.model.architectures.by_hand import gate, level_experts, reached, settle

D, T, B = 5, 3, 4
CASES: dict[str, dict[str, Any]] = {
    "cgc": {"expert_hidden": [6, 4]},
    "ple": {},
    "deep": {"expert_hidden": [[7, 6], [5], [4]], "task_experts": 1, "shared_experts": 3},
    "uneven": {"task_experts": [1, 3, 0], "shared_experts": 1},
    "no_shared": {"shared_experts": 0},
    "shared_only": {"task_experts": 0},
    "one_each": {"task_experts": 1, "shared_experts": 1},
}


def make(num_units: int = 1, num_tasks: int = T, **options: Any) -> PLE:
    torch.manual_seed(0)
    given = {"expert_hidden": [[6], [4]], **options}
    return settle(PLE(D, num_units, num_tasks, Config(**given)))


def counts_of(options: dict[str, Any]) -> tuple[list[int], int]:
    own = options.get("task_experts", 2)
    return [own] * T if isinstance(own, int) else own, options.get("shared_experts", 2)


def by_the_equations(model: PLE, options: dict[str, Any], x_UD: list[Tensor]) -> Tensor:
    """z [T, H] of one row; x_UD is what each task reads on the first level, and the shared unit last."""
    own, num_shared = counts_of(options)
    layers = [*model.lower, model.layer]
    for place, layer in enumerate(layers):
        experts = level_experts(layer, [*own, num_shared], x_UD)
        z, num_before = [], 0
        for task in range(T):
            seen = experts[task] + experts[T]
            weights = gate(layer, num_before, seen, x_UD[task])
            z.append(sum(weight * value for weight, value in zip(weights, seen, strict=True)))
            num_before += len(seen)
        if place < len(layers) - 1 and num_shared:
            everything = [value for unit in experts for value in unit]
            weights = gate(layer, num_before, everything, x_UD[T])
            z.append(sum(weight * value for weight, value in zip(weights, everything, strict=True)))
        x_UD = z if len(z) == T + 1 else [*z, z[0]]  # Without shared experts nothing reads the last.
    return torch.stack(x_UD[:T])


@pytest.mark.parametrize("name", CASES)
def test_equals_its_equations(name: str) -> None:
    model, x = make(**CASES[name]), torch.randn(B, D).double()
    expected = torch.stack([by_the_equations(model, CASES[name], [row] * (T + 1)) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in CASES if name != "no_shared"])
def test_an_input_for_each_unit(name: str) -> None:
    model, x = make(num_units=T + 1, **CASES[name]), torch.randn(B, T + 1, D).double()
    expected = torch.stack([by_the_equations(model, CASES[name], list(row)) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_of_an_input_for_each_task_the_shared_unit_reads_the_mean(name: str) -> None:
    model, x = make(num_units=T, **CASES[name]), torch.randn(B, T, D).double()
    expected = torch.stack([by_the_equations(model, CASES[name], [*row, row.mean(dim=0)]) for row in x])
    assert_close(model(x), expected, rtol=1e-6, atol=1e-9)


def test_without_shared_experts_tasks_are_models_of_their_own() -> None:
    model = make(shared_experts=0)
    z_BTH = model(torch.randn(B, D).double())
    for layer in (model.lower[0], model.layer):
        for task in range(T):
            assert reached(z_BTH[:, task], layer) == [expert // 2 == task for expert in range(2 * T)]


def test_without_task_experts_one_level_is_mmoe() -> None:
    model = make(expert_hidden=[6, 4], task_experts=0, shared_experts=4)
    other = mmoe.MMoE(D, 1, T, mmoe.Config(num_experts=4, expert_hidden=[6, 4])).double()
    other.load_state_dict(model.state_dict(), strict=True)
    x = torch.randn(B, D).double()
    assert torch.equal(model(x), other(x))


def test_on_one_level_no_task_reaches_the_experts_of_another() -> None:
    model = make(expert_hidden=[6, 4])
    z_BTH = model(torch.randn(B, D).double())
    for task in range(T):
        assert reached(z_BTH[:, task], model.layer) == [expert // 2 in (task, T) for expert in range(2 * T + 2)]


def test_on_two_levels_tasks_meet_in_the_shared_unit() -> None:
    """The shared gate sees all experts. Where it saw only the shared ones, tasks would stay apart."""
    model, x = make(), torch.randn(B, D).double()
    assert reached(model(x)[:, 0], model.lower[0]) == [True] * (2 * T + 2)
    with torch.no_grad():
        closed = T * (2 + 2)  # the first edge of the shared unit's gate, whose first 2 T are to experts of tasks
        model.lower[0].gates.bias[closed : closed + 2 * T] = float("-inf")
    assert reached(model(x)[:, 0], model.lower[0]) == [expert // 2 in (0, T) for expert in range(2 * T + 2)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 8 * (D + 1) * 6 + (D + 1) * (T * 4 + 8) + 8 * (6 + 1) * 4 + (6 + 1) * T * 4),
        ({"expert_hidden": [6, 4]}, 8 * ((D + 1) * 6 + (6 + 1) * 4) + (D + 1) * T * 4),
        ({"task_experts": [1, 3, 0], "shared_experts": 1, "expert_hidden": [4]}, 5 * (D + 1) * 4 + (D + 1) * (2 + 4 + 1)),
        ({"shared_experts": 0}, 6 * (D + 1) * 6 + (D + 1) * T * 2 + 6 * (6 + 1) * 4 + (6 + 1) * T * 2),
    ],
)
def test_number_of_parameters(options: dict[str, Any], expected: int) -> None:
    model = make(**options)
    config = Config(**{"expert_hidden": [[6], [4]], **options})
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == PLE.num_parameters(D, 1, T, config)


@pytest.mark.parametrize("options", [{"task_experts": [1, 2]}, {"task_experts": [1, 0, 1], "shared_experts": 0}, {"task_experts": [1, 2, 3, 4]}])
def test_experts_that_do_not_fit_the_tasks_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="task_experts"):
        make(**options)


@pytest.mark.parametrize(("num_units", "shared"), [(2, 2), (T + 2, 2), (T + 1, 0)])
def test_other_numbers_of_inputs_are_refused(num_units: int, shared: int) -> None:
    with pytest.raises(ConfigError, match="one input, or one a task"):
        make(num_units=num_units, shared_experts=shared)


@pytest.mark.parametrize("num_units", [1, 2])
def test_one_task(num_units: int) -> None:
    model = make(num_units=num_units, num_tasks=1, task_experts=1, shared_experts=1)
    assert model(torch.randn((B, D) if num_units == 1 else (B, 2, D)).double()).shape == (B, 1, 4)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [Config(expert_hidden=[24, 12]), Config(task_experts=0, shared_experts=4), Config(shared_experts=0), Config(gate={"kind": "top_k"})],
    ids=["cgc", "shared_only", "no_shared", "top_k"],
)
def test_it_keeps_the_contract(config: Config) -> None:
    check_architecture(PLE, config)
