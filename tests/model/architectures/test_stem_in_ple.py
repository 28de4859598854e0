"""STEM: views of one table, and a PLE of one level that reads other tasks' experts without training them."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures.ple import PLE, Config
from mtrec.model.encoders import stem
from mtrec.model.nn.mlp import num_mlp_parameters
from mtrec.testing.architecture_export import quiet_script
from mtrec.testing.encoder_case import build_encoder, features

T, D = 3, 3 + 4 * 8
OPTIONS: dict[str, Any] = {"expert_hidden": [[6, 4]], "task_experts": [1, 2, 1], "shared_experts": 2, "stop_other_tasks": True}
UNIT = [0, 1, 1, 2, 3, 3]


def make(num_extra: int = 0, **options: Any) -> PLE:
    torch.manual_seed(0)
    model = PLE(D, T + 1, T, Config(**{**OPTIONS, **options}), num_extra)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bias" in name:
                parameter.normal_(mean=0.5)
    return model.double()


def inputs(num_rows: int = 6, width: int = D) -> Tensor:
    return torch.randn(num_rows, T + 1, width, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def by_the_equations(model: PLE, x: Tensor) -> Tensor:
    rows = []
    for x_UD in x:
        experts = []
        for e, unit in enumerate(UNIT):
            h = x_UD[unit]
            for linear in [model.layer.first, *model.layer.later.layers]:
                h = (linear.weight[e] @ h + linear.bias[e]).clamp(min=0)
            experts.append(h)
        gates = model.layer.gates
        for task in range(T):
            at = range(task * len(UNIT), (task + 1) * len(UNIT))
            powers = [torch.exp(gates.weight[edge] @ (x_UD[task] + x_UD[T]) + gates.bias[edge]) for edge in at]
            rows.append(sum(power / sum(powers) * expert for power, expert in zip(powers, experts, strict=True)))
    return torch.stack(rows).view(len(x), T, 4)


def test_equals_its_equations() -> None:
    model = make()
    assert_close(model(inputs()), by_the_equations(model, inputs()), rtol=1e-6, atol=1e-9)


def test_a_task_trains_its_own_and_the_shared_embeddings_and_reads_all() -> None:
    encoder, model, batch = build_encoder(stem.Stem, stem.Config()), make().float(), features(stem.Stem, 6)
    fields = batch.fields.requires_grad_()
    z_BTH = model(encoder(batch))
    for task in range(T):
        gradient, *experts = torch.autograd.grad(z_BTH[:, task].square().sum(), [fields, model.layer.first.weight], retain_graph=True)
        reached = (gradient.view(6, 4, T + 1, 8) != 0).flatten(0, 1).any(dim=2).any(dim=0)
        assert reached.tolist() == [view in (task, T) for view in range(T + 1)]
        assert (experts[0] != 0).flatten(1).any(dim=1).tolist() == [unit in (task, T) for unit in UNIT]
        for view in range(T + 1):
            moved = fields.detach().clone()
            moved.view(6, 4, T + 1, 8)[:, :, view] += 1.0
            other = batch._replace(fields=moved, flat=torch.cat([batch.flat[:, :3], moved.flatten(1)], dim=1))
            assert not torch.allclose(model(encoder(other))[:, task], z_BTH[:, task])


def test_stopping_changes_no_output() -> None:
    model = make()
    before = model(inputs())
    model.layer.stops = False
    assert_close(model(inputs()), before, rtol=0, atol=1e-12)


def test_columns_for_gates_alone_are_read_once() -> None:
    model, x = make(num_extra=2), inputs(width=D + 2)
    x[:, :, D:] = x[:, :1, D:]
    shared = model.shared(x)
    assert_close(shared[1][:, 1], torch.cat([x[:, 1, :D] + x[:, T, :D], x[:, 1, D:]], dim=1))
    assert_close(model.task_output(shared, 1), model(x)[:, 1], rtol=0, atol=1e-12)


def test_script_is_bitwise_equal() -> None:
    model, x = make().eval(), inputs()
    with quiet_script():
        scripted = torch.jit.script(model)
    assert torch.equal(scripted(x), model(x))


def test_number_of_parameters() -> None:
    expected = 6 * num_mlp_parameters(D, [6, 4]) + T * 6 * (D + 1)
    assert sum(parameter.numel() for parameter in make().parameters()) == expected == PLE.num_parameters(D, T + 1, T, Config(**OPTIONS))


@pytest.mark.parametrize(("num_units", "options"), [(1, {}), (T, {}), (T + 1, {"expert_hidden": [[6], [4]]}), (T + 1, {"shared_experts": 0})])
def test_what_would_let_a_gradient_through_is_refused(num_units: int, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Take encoder stem, expert_hidden of one level, and shared experts"):
        PLE(D, num_units, T, Config(**{**OPTIONS, **options}))
