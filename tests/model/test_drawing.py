"""A drawing shows what gradients reach."""

import re
from typing import Any

import pytest
import torch
from torch import nn

from mtrec import registry
from mtrec.model.drawing import draw
from mtrec.testing.architecture_case import NUM_TASKS, WIDTH, build


def built(name: str, num_units: int | None = None, **options: Any) -> Any:
    part, config = registry.part("architectures", name)
    return build(part, config(**options), num_units=num_units)


def signs(drawing: str) -> list[list[str]]:
    """Of each line that has them."""
    found = [re.findall(r"(?<= )[x+*o.](?= |$)", line) for line in drawing.splitlines()]
    return [line for line in found if line]


def reached(z_BRH: torch.Tensor, weight: torch.Tensor) -> list[list[bool]]:
    """Of each output unit, whether its gradient reaches the kernel of each expert, in weight [E, ..]."""
    gradients = [torch.autograd.grad(z_BRH[:, row].square().sum(), weight, retain_graph=True, allow_unused=True)[0] for row in range(z_BRH.shape[1])]
    return [[bool(one.any()) for one in gradient] for gradient in gradients]


def trained(drawing: str) -> list[list[bool]]:
    return [[sign not in ".o" for sign in line] for line in signs(drawing)]


@pytest.mark.parametrize(
    ("name", "num_units", "options"),
    [
        ("mmoe", None, {}),
        ("mmoe", None, {"gate": {"kind": "exclusive", "alpha": 0.5}}),
        ("ple", None, {"task_experts": [1, 2, 3]}),
        ("ple", None, {"shared_experts": 0}),
        ("ple", NUM_TASKS + 1, {"stop_other_tasks": True, "expert_hidden": [8]}),
        ("adatt", None, {}),
        ("adatt_sp", None, {"task_experts": 1}),
    ],
)
def test_experts_that_are_seen_are_those_that_are_trained(name: str, num_units: int | None, options: dict[str, Any]) -> None:
    model = built(name, num_units, **options)
    layers, expected = [*model.lower, model.layer], trained(draw(model))
    found: list[list[bool]] = []
    for layer in layers:
        width = layer.first.weight.shape[2]
        found += reached(layer(torch.randn(65, layer.num_units, width) if layer.num_units > 1 else torch.randn(65, width)), layer.first.weight)
    assert found == expected
    assert any(False in line for line in expected) or name in ("mmoe", "adatt", "adatt_sp")


def test_home() -> None:
    model = built("home")
    model.train()
    z_BTH = model(torch.randn(65, WIDTH))
    tasks = trained(draw(model))[-NUM_TASKS:]
    num_common = len(model.common_experts.weight)
    assert reached(z_BTH, model.common_experts.weight) == [line[:num_common] for line in tasks]
    assert reached(z_BTH, model.task_experts.weight) == [line[num_common:] for line in tasks]
    meta = ["* * . . x x x x", ". . * * x x x x", "x x x x * * * *"]
    assert [" ".join(line) for line in signs(draw(model))[:3]] == meta


def test_a_share_of_its_own_is_told_from_a_gate() -> None:
    assert signs(draw(built("adatt_sp", expert_hidden=[8], task_experts=1))) == [["*", "x", "x"], ["x", "*", "x"], ["x", "x", "*"]]
    assert signs(draw(built("cross_stitch", expert_hidden=[8]))) == [["+"] * 3] * 3


def test_models_side_by_side() -> None:
    model = built("single_task")
    assert reached(model(torch.randn(65, WIDTH)), model.experts.layers[0].weight) == trained(draw(model))
    assert signs(draw(built("shared_bottom"))) == [["x"]]


@pytest.mark.parametrize(
    ("mask", "first", "last"),
    [("none", "x x x x", "x x x x"), ("t_t", "x . . x", "x x x x"), ("f_t", "x x x x", ". . . x"), ("both", "x . . x", ". . . x")],
)
def test_tokens(mask: str, first: str, last: str) -> None:
    drawn = signs(draw(built("multitab", mask=mask)))
    assert (drawn[0], drawn[-1], len(drawn)) == (first.split(), last.split(), NUM_TASKS + 1)


def test_what_is_not_known_is_not_drawn() -> None:
    with pytest.raises(TypeError, match="Linear"):
        draw(nn.Linear(1, 1))
