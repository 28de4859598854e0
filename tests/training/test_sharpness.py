"""Sharpness-aware steps: the gradient at the worst point nearby, for the dense parameters and the tables, with nothing left perturbed."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn, tensor
from torch.testing import assert_close

from mtrec.training.sharpness import SharpnessAware, buffers_kept

RHO = 0.5
OVERRIDES = ("model.towers.dropout=0.3", "training.batch_size=200", f"training.sharpness={{rho: {RHO}}}")


class Parabola(nn.Module):
    def __init__(self, x: list[float]) -> None:
        super().__init__()
        self.x = nn.Parameter(tensor(x))
        self.unused = nn.Parameter(torch.ones(2))

    def loss(self, a: float) -> Tensor:
        return 0.5 * a * self.x.square().sum()


@pytest.mark.parametrize("x", [2.0, -0.3])
def test_of_a_parabola(x: float) -> None:
    """The gradient of a x^2 / 2 at x + rho sign(x)."""
    model, a, rho = Parabola([x]), 3.0, 0.05
    with SharpnessAware(model, rho).perturbed(model.loss(a)):
        assert_close(model.x.data, tensor([x + rho * (1 if x > 0 else -1)]))
        model.loss(a).backward()
    assert_close(model.x.grad, tensor([a * (x + rho * (1 if x > 0 else -1))]))
    assert torch.equal(model.x.data, tensor([x])) and model.unused.grad is None


def test_where_the_gradient_is_zero_nothing_is_perturbed() -> None:
    model = Parabola([0.0, 0.0])
    with SharpnessAware(model, 0.1).perturbed(model.loss(1.0)):
        assert torch.equal(model.x.data, torch.zeros(2))


def test_what_fails_inside_leaves_the_parameters_as_they_were() -> None:
    model = Parabola([1.0, 2.0])
    with pytest.raises(ValueError, match="inside"), SharpnessAware(model, 0.1).perturbed(model.loss(1.0)):
        raise ValueError("inside")
    assert torch.equal(model.x.data, tensor([1.0, 2.0]))


def test_buffers_are_kept() -> None:
    norm = nn.BatchNorm1d(3).train()
    norm(torch.randn(8, 3))
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    with buffers_kept(norm):
        norm(torch.randn(8, 3) + 5)
        assert not torch.equal(norm.running_mean, before["running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def built(tiny: Any, *overrides: str) -> tuple[Any, Any, Any]:
    from mtrec.jobs.prepare import prepare
    from mtrec.training.assemble import build_model
    from mtrec.training.objective import build_objective

    config = tiny.config("sharp", *OVERRIDES, *overrides)
    prepared = prepare(config)
    model = build_model(config, prepared)
    model.train()
    return model, build_objective(config, model, prepared), next(prepared.reader("train", 200, 0).epoch(0))


@pytest.mark.parametrize("architecture", ["mmoe", "home"])
def test_a_step_has_the_gradients_of_the_perturbed_model(tiny: Any, architecture: str) -> None:
    """By hand: the first gradient without tables, the parameters moved for good, one plain backward with the same dropout."""
    options = {"mmoe": "{kind: mmoe, num_experts: 2, expert_hidden: [8]}", "home": "{kind: home, expert_width: 8}"}[architecture]
    model, objective, batch = built(tiny, f"model.architecture={options}")
    other, plain, _ = built(tiny, f"model.architecture={options}", "training.sharpness=null")
    known_T = objective.losses.known_weight(batch.label_mask, batch.weight)
    start = {name: value.clone() for name, value in model.ranker.state_dict().items()}
    tables = {name: value.clone() for name, value in model.embeddings.tables().items()}

    torch.manual_seed(3)
    loss = objective(batch, known_T, 0)
    assert all(torch.equal(value, tables[name]) for name, value in model.embeddings.tables().items())
    after_one_pass = {name: value.clone() for name, value in model.ranker.named_buffers()}
    objective.backward(loss)
    assert all(torch.equal(value, start[name]) for name, value in model.ranker.named_parameters())
    assert all(torch.equal(value, after_one_pass[name]) for name, value in model.ranker.named_buffers()), "statistics follow one pass, not two"

    torch.manual_seed(3)
    features = other.embed(batch)
    detached = type(features)(*(part.detach() for part in features))
    parameters = list(other.ranker.parameters())
    first = plain.losses.total(plain._losses(batch, other.logits(detached), known_T), torch.ones(3))
    gradients = torch.autograd.grad(first, parameters)
    length = torch.cat([each.flatten() for each in gradients]).norm()
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter += RHO * gradient / length
    torch.manual_seed(3)
    plain.losses.total(plain._losses(batch, other.logits(features), known_T), torch.ones(3)).backward()
    for name, parameter in model.ranker.named_parameters():
        assert_close(parameter.grad, other.ranker.get_parameter(name).grad, rtol=1e-4, atol=1e-6)
    for name, table in model.embeddings.tables().items():
        assert not torch.equal(table, tables[name])
        assert_close(table, other.embeddings.tables()[name], rtol=1e-4, atol=1e-5)
