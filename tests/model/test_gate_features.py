"""Features that gates read beside their usual input, and experts do not."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.model.architectures import adatt, adatt_sp, mmoe, ple
from mtrec.model.encoders import concat
from mtrec.model.ranker import Ranker
from mtrec.model.towers import Towers
from mtrec.testing.architecture_export import quiet_script
from mtrec.types import FeatureBatch, FeatureShape
from tests.model.architectures.by_hand import settle

D, G, T, B = 5, 2, 3, 6
LEVELS = [[6], [4]]
CASES: dict[str, tuple[Any, Any]] = {
    "mmoe": (mmoe.MMoE, mmoe.Config(num_experts=4, expert_hidden=LEVELS)),
    "mmoe_one_level": (mmoe.MMoE, mmoe.Config(num_experts=4, expert_hidden=[6, 4])),
    "mmoe_gates_read_level": (mmoe.MMoE, mmoe.Config(num_experts=4, expert_hidden=LEVELS, gate_input="level")),
    "ple": (ple.PLE, ple.Config(expert_hidden=LEVELS)),
    "adatt": (adatt.AdaTT, adatt.Config(expert_hidden=LEVELS)),
    "adatt_sp": (adatt_sp.AdaTTSp, adatt_sp.Config(expert_hidden=LEVELS, gate={"kind": "softmax", "hidden": [3]})),
}


def make(name: str, num_units: int = 1) -> Any:
    torch.manual_seed(0)
    architecture, config = CASES[name]
    return settle(architecture(D, num_units, T, config, num_extra=G))


def layers(model: Any) -> list[Any]:
    return [*model.lower, model.layer]


def rows(num_units: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn((B, D + G) if num_units == 1 else (B, num_units, D + G), generator=generator).double()


@pytest.mark.parametrize("num_units", [1, T])
@pytest.mark.parametrize("name", CASES)
def test_every_gate_reads_them_and_no_expert_does(name: str, num_units: int) -> None:
    model, x = make(name, num_units), rows(num_units)
    other = x.clone()
    other[..., D:] += 1.0
    assert not torch.allclose(model(other), model(x))
    for layer in layers(model):
        kept = layer.gates.weight.detach().clone()
        with torch.no_grad():
            layer.gates.weight.zero_()
        even = model(other), model(x)
        assert not torch.allclose(*even) or len(layers(model)) == 1
        with torch.no_grad():
            layer.gates.weight.copy_(kept)
    with torch.no_grad():
        for layer in layers(model):
            layer.gates.weight.zero_()
    assert torch.equal(model(other), model(x))


@pytest.mark.parametrize("name", [name for name in CASES if name != "adatt_sp"])
def test_without_weights_on_them_the_model_is_the_usual_one(name: str) -> None:
    model, x = make(name), rows()
    architecture, config = CASES[name]
    usual = architecture(D, 1, T, config).double()
    state = model.state_dict()
    for key in state:
        if key.endswith("gates.weight"):
            state[key][:, -G:] = 0.0
    model.load_state_dict(state)
    usual.load_state_dict({key: value[:, :-G] if key.endswith("gates.weight") else value for key, value in state.items()}, strict=True)
    assert_close(model(x), usual(x[:, :D]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_number_of_parameters(name: str) -> None:
    architecture, config = CASES[name]
    found = sum(parameter.numel() for parameter in make(name).parameters())
    assert found == architecture.num_parameters(D, 1, T, config, num_extra=G) > architecture.num_parameters(D, 1, T, config)


@pytest.mark.parametrize("name", CASES)
def test_script_and_program_are_equal(name: str) -> None:
    model = make(name).eval()
    with quiet_script():
        scripted = torch.jit.script(model)
    assert torch.equal(scripted(rows()), model(rows()))
    program = torch.export.export(model, (rows(),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert_close(program.module()(rows()[:3]), model(rows()[:3]), rtol=1e-12, atol=1e-12)


def make_ranker(gate_fields: list[int]) -> Ranker:
    torch.manual_seed(0)
    width, num_fields = 2, 3
    encoder = concat.Concat(FeatureShape(1 + num_fields * width, num_fields, 0, width), T, concat.Config())
    architecture = ple.PLE(encoder.output_width, 1, T, ple.Config(expert_hidden=LEVELS), num_extra=len(gate_fields) * width)
    return Ranker(encoder, architecture, Towers(architecture.output_width, T, [4]), None, gate_fields).eval()


def features(num_rows: int) -> FeatureBatch:
    fields = torch.randn(num_rows, 3, 2)
    flat = torch.cat([torch.randn(num_rows, 1), fields.flatten(1)], dim=1)
    return FeatureBatch(flat, fields, torch.zeros(num_rows, 0, 0, 2), torch.zeros(num_rows, 0, dtype=torch.int64), torch.zeros(num_rows, 0))


@pytest.mark.parametrize("gate_fields", [[], [1], [2, 0]])
def test_the_ranker_hands_over_the_named_fields(gate_fields: list[int]) -> None:
    ranker, batch = make_ranker(gate_fields), features(5)
    extra = [batch.fields[:, place] for place in gate_fields]
    assert torch.equal(ranker.encode(batch), torch.cat([batch.flat, *extra], dim=1))
    with quiet_script():
        scripted = torch.jit.freeze(torch.jit.script(ranker), optimize_numerics=False)
    for num_rows in (1, 5, 0):
        batch = features(num_rows)
        assert torch.equal(scripted(batch), ranker(batch))


def test_each_unit_gets_them() -> None:
    class Units(torch.nn.Module):
        def forward(self, batch: FeatureBatch) -> Tensor:
            return batch.flat.unsqueeze(1).expand(-1, T, -1)

    ranker, batch = make_ranker([1]), features(5)
    ranker.encoder = Units()
    assert ranker.encode(batch).shape == (5, T, 7 + 2)
    assert torch.equal(ranker.encode(batch)[:, 2, 7:], batch.fields[:, 1])
