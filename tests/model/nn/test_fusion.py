"""The fusion layer against a loop over its equations, and the gradients that its masks forbid."""

from typing import Any

import pytest
import torch
from torch import Tensor, tensor
from torch.testing import assert_close

from mtrec.model.nn.fusion import FusionLayer
from mtrec.model.nn.mlp import num_mlp_parameters
from mtrec.schema import GatePart

B, D, HIDDEN = 6, 5, [4, 3]


def mask(rows: list[list[int]]) -> Tensor:
    return tensor(rows, dtype=torch.bool)


DEEP = GatePart(kind="softmax", hidden=[6, 2])
EVERYTHING = mask([[1, 1, 1, 1]] * 3)
LAYERS: dict[str, dict[str, Any]] = {
    "mmoe": {"num_units": 1, "expert_unit": [0] * 4, "output_unit": [0] * 3, "visibility": EVERYTHING},
    "deep_gates": {"num_units": 1, "expert_unit": [0] * 4, "output_unit": [0] * 3, "visibility": EVERYTHING, "gate": DEEP},
    "ple": {
        "num_units": 3,
        "expert_unit": [0, 1, 2, 2],
        "output_unit": [0, 1, 2],
        "visibility": mask([[1, 0, 1, 1], [0, 1, 1, 1], [1, 1, 1, 1]]),
    },
    "adatt": {"num_units": 2, "expert_unit": [0, 0, 0, 1], "output_unit": [0, 1], "visibility": mask([[1] * 4] * 2), "residual": "native"},
    "adatt_one_each": {
        "num_units": 2, "expert_unit": [0, 1], "output_unit": [0, 1], "visibility": mask([[1, 1]] * 2), "residual": "native",
    },
    "cross_stitch": {
        "num_units": 2, "expert_unit": [0, 1], "output_unit": [0, 1], "visibility": mask([[0] * 2] * 2), "gate": None, "residual": "free",
    },
    "stem": {
        "num_units": 3,
        "expert_unit": [0, 1, 2],
        "output_unit": [0, 1],
        "visibility": mask([[1] * 3] * 2),
        "stop_gradient": mask([[0, 1, 0], [1, 0, 0]]),
    },
    "unit_without_experts": {"num_units": 3, "expert_unit": [0, 2], "output_unit": [1, 0], "visibility": mask([[1] * 2] * 2)},
}  # fmt: skip


def make(name: str, **options: Any) -> FusionLayer:
    torch.manual_seed(0)
    return FusionLayer(D, HIDDEN, **{**LAYERS[name], **options})


def inputs(name: str) -> Tensor:
    return torch.randn(B, LAYERS[name]["num_units"], D, generator=torch.Generator().manual_seed(1))


def by_the_equations(layer: FusionLayer, name: str, x_BUD: Tensor) -> Tensor:
    """One row, one output unit, one expert at a time; shares no code with the layer."""
    spec = LAYERS[name]
    outputs = []
    for x_UD in x_BUD:
        experts = []
        for e, unit in enumerate(spec["expert_unit"]):
            h = x_UD[unit]
            for linear in [layer.first, *layer.later.layers]:
                h = (linear.weight[e] @ h + linear.bias[e]).clamp(min=0)
            experts.append(h)
        edge, learned = 0, 0
        for r, unit in enumerate(spec["output_unit"]):
            seen = [e for e in range(len(experts)) if spec["visibility"][r, e]]
            share = dict.fromkeys(range(len(experts)), tensor(0.0))
            if spec.get("gate", True):
                h = x_UD[unit]
                for linear in layer.gates.hidden.layers:
                    h = (linear.weight[r] @ h + linear.bias[r]).clamp(min=0)
                powers = [torch.exp(layer.gates.weight[edge + i] @ h + layer.gates.bias[edge + i]) for i in range(len(seen))]
                edge += len(seen)
                for e, power in zip(seen, powers, strict=True):
                    share[e] = power / sum(powers)
            native = [e for e, expert_unit in enumerate(spec["expert_unit"]) if expert_unit == unit]
            for e in {"none": [], "native": native, "free": range(len(experts))}[spec.get("residual", "none")]:
                if name == "adatt_one_each":
                    share[e] = share[e] + 1
                else:
                    share[e] = share[e] + layer.residual[learned]
                    learned += 1
            outputs.append(sum(share[e] * experts[e] for e in share))
    return torch.stack(outputs).view(len(x_BUD), -1, HIDDEN[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_equals_a_loop_over_its_equations(name: str) -> None:
    layer, x = make(name), inputs(name)
    assert_close(layer(x), by_the_equations(layer, name, x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_one_output_unit_alone_is_a_row_of_all(name: str) -> None:
    layer, x = make(name).double(), inputs(name).double()
    experts_BEH, z_BRH = layer.experts(x), layer(x)
    for row in range(layer.num_rows):
        assert_close(layer.mix_row(experts_BEH, x, row), z_BRH[:, row], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", [name for name, spec in LAYERS.items() if spec.get("gate", True) and "stop_gradient" not in spec])
def test_gradients_apart_are_those_of_one_output_unit(name: str) -> None:
    layer, x = make(name).double(), inputs(name).double()
    experts = [layer.experts(x).detach().requires_grad_() for _ in range(layer.num_rows)]
    z_BRH = layer.mix_apart(experts, layer.gates.edge_logits(x))
    assert_close(z_BRH, layer(x), rtol=1e-12, atol=1e-12)
    toward_BRH = torch.randn_like(z_BRH)
    (z_BRH * toward_BRH).sum().backward()
    found = {parameter: gradient.grad.clone() for parameter, gradient in layer.named_parameters() if gradient.grad is not None}
    assert found
    layer.zero_grad()
    alone = experts[0].detach().requires_grad_()
    for row, own in enumerate(experts):
        (layer.mix(alone, x)[:, row] * toward_BRH[:, row]).sum().backward()
        assert_close(own.grad, alone.grad, rtol=1e-12, atol=1e-12)
        alone.grad = None
    for parameter, gradient in found.items():
        assert_close(gradient, layer.get_parameter(parameter).grad, rtol=1e-12, atol=1e-12)


def test_gates_may_read_another_input_than_experts() -> None:
    layer, x, gate_x = make("mmoe", gate_width=7), torch.randn(B, D), torch.randn(B, 7)
    z_BRH = layer(x, gate_x)
    assert_close(z_BRH, torch.einsum("bre,beh->brh", layer.gates(gate_x), layer.experts(x)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_units_that_coincide_are_one_input(name: str) -> None:
    layer = make(name)
    x = torch.randn(B, D)
    assert_close(layer(x.unsqueeze(1).expand(B, layer.num_units, D)), layer(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", LAYERS)
def test_a_gradient_is_zero_exactly_where_the_masks_say(name: str) -> None:
    spec, layer = LAYERS[name], make(name)
    with torch.no_grad():
        for linear in [layer.first, *layer.later.layers]:
            linear.bias.fill_(2.0)  # no unit of these narrow experts is to be dead by chance
    z_BRH = layer(inputs(name))
    native = tensor(spec["output_unit"]).unsqueeze(1) == tensor(spec["expert_unit"])
    kind = spec.get("residual", "none")
    reached = spec["visibility"] | (native if kind == "native" else torch.full_like(native, kind == "free"))
    if kind == "free":
        reached = native  # the start: other entries of the matrix are still 0
    reached = reached & ~spec.get("stop_gradient", torch.zeros_like(native))
    for r in range(z_BRH.shape[1]):
        gradient_EhD, *_ = torch.autograd.grad(z_BRH[:, r].square().sum(), [layer.first.weight], retain_graph=True)
        assert torch.equal((gradient_EhD != 0).flatten(1).any(dim=1), reached[r])


def test_a_stopped_expert_still_shows_in_the_output() -> None:
    layer, x = make("stem"), inputs("stem")
    before = layer(x)
    with torch.no_grad():
        layer.first.bias[1] += 1.0
    assert not torch.equal(layer(x)[:, 0], before[:, 0])
    assert_close(before, make("stem", stop_gradient=None)(x))


def test_native_residual_and_zero_gates_is_the_mean_and_the_residual() -> None:
    layer, x = make("adatt"), inputs("adatt")
    with torch.no_grad():
        layer.gates.weight.zero_()
        layer.gates.bias.zero_()
    experts_BEH = layer.experts(x)
    residual_BH = (layer.residual[:3].view(1, 3, 1) * experts_BEH[:, :3]).sum(dim=1)
    assert_close(layer(x)[:, 0], experts_BEH.mean(dim=1) + residual_BH, rtol=1e-6, atol=1e-6)


def test_one_native_expert_each_and_all_experts_equal_doubles_them() -> None:
    layer, x = make("adatt_one_each"), torch.randn(B, D)
    with torch.no_grad():
        for parameter in [*layer.first.parameters(), *layer.later.parameters()]:
            parameter.copy_(parameter[:1].expand_as(parameter).clone())
    expert_BH = layer.experts(x)[:, 0]
    assert_close(layer(x), 2 * expert_BH.unsqueeze(1).expand(B, 2, 3), rtol=1e-6, atol=1e-6)


def test_a_native_residual_may_start_at_the_mean() -> None:
    assert_close(make("adatt", native_init="ones_over_m").residual.detach(), tensor([1 / 3] * 3 + [1.0]))
    assert (make("adatt").residual.abs() <= tensor([1 / 3**0.5] * 3 + [1.0])).all()


def test_no_gates_is_the_plain_mean() -> None:
    layer = make("mmoe", gate=None)
    x = torch.randn(B, D)
    assert_close(layer(x), layer.experts(x).mean(dim=1, keepdim=True).expand(B, 3, 3), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "extra"), [("mmoe", 0), ("ple", 0), ("adatt", 4), ("adatt_one_each", 0), ("cross_stitch", 4)])
def test_number_of_parameters_is_the_formula(name: str, extra: int) -> None:
    spec = LAYERS[name]
    gates = int(spec["visibility"].sum()) * (D + 1)
    expected = len(spec["expert_unit"]) * num_mlp_parameters(D, HIDDEN) + gates + extra
    assert sum(parameter.numel() for parameter in make(name).parameters()) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"expert_unit": [1, 0, 0, 0], "num_units": 2},
        {"expert_unit": [0, 0, 0, 1]},
        {"output_unit": [0, 0]},
        {"visibility": torch.ones(3, 4)},
    ],
)
def test_a_wrong_plan_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Found"):
        make("mmoe", **wrong)
