"""Cross layers from their equation, and their limits."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from mtrec.model.encoders.dcn_v2 import DCNV2, Config
from mtrec.testing.encoder import ENCODER_CHECKS
from mtrec.testing.suite import run_check
from mtrec.types import FeatureBatch, FeatureShape

D = 5
OPTIONS: list[dict[str, Any]] = [
    {},
    {"rank": 2},
    {"num_layers": 3, "hidden": [6, 4]},
    {"rank": 1, "hidden": [6, 4], "structure": "stacked"},
    {"num_layers": 0, "hidden": [6]},
]


def make(**options: Any) -> DCNV2:
    torch.manual_seed(0)
    encoder = DCNV2(FeatureShape(D, 0, 0, 0), 3, Config(**options)).double()
    for parameter in encoder.parameters():
        nn.init.normal_(parameter)
    return encoder


def given(num_rows: int = 4) -> tuple[Tensor, FeatureBatch]:
    flat, nothing = torch.randn(num_rows, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64), torch.zeros(num_rows, 0)
    return flat, FeatureBatch(flat, nothing, nothing, nothing, nothing)


def by_the_equations(encoder: DCNV2, row: Tensor, stacked: bool) -> Tensor:
    x = row
    for cross in encoder.crosses:
        kernel = cross.weight if cross.narrow is None else cross.weight @ cross.narrow
        x = torch.stack([row[i] * (sum(kernel[i, j] * x[j] for j in range(D)) + cross.bias[i]) + x[i] for i in range(D)])
    if not len(encoder.deep.layers):
        return x
    deep = x if stacked else row
    for layer in encoder.deep.layers:
        deep = (layer.weight @ deep + layer.bias).clamp(min=0)
    return deep if stacked else torch.cat([x, deep])


@pytest.mark.parametrize("options", OPTIONS)
def test_equals_its_equations(options: dict[str, Any]) -> None:
    encoder, (flat, batch) = make(**options), given()
    expected = torch.stack([by_the_equations(encoder, row, options.get("structure") == "stacked") for row in flat])
    assert_close(encoder(batch), expected, rtol=1e-10, atol=1e-10)
    assert encoder.output_width == expected.shape[1]


def test_no_layers_hand_on_what_they_get() -> None:
    _, batch = given()
    assert make(num_layers=0)(batch) is batch.flat


def test_a_full_rank_is_a_full_kernel() -> None:
    full, low, (_, batch) = make(num_layers=1), make(num_layers=1, rank=D), given()
    with torch.no_grad():
        low.crosses[0].narrow.copy_(torch.eye(D))
        low.crosses[0].weight.copy_(full.crosses[0].weight)
        low.crosses[0].bias.copy_(full.crosses[0].bias)
    assert_close(low(batch), full(batch), rtol=0, atol=1e-12)


def test_layers_raise_the_degree() -> None:
    """Without biases, scaling a row by s scales the part of degree k by s^k: two layers hold degrees one to three."""
    encoder, (flat, _) = make(num_layers=2), given(1)
    for cross in encoder.crosses:
        nn.init.zeros_(cross.bias)
    scales = torch.tensor([[1.0], [2.0], [3.0], [4.0], [5.0]], dtype=torch.float64)
    nothing = torch.zeros(5, 0)
    y = encoder(FeatureBatch(scales * flat, nothing, nothing, nothing, nothing))
    powers = torch.cat([scales**k for k in (1, 2, 3, 4)], dim=1)
    solution = torch.linalg.lstsq(powers, y).solution
    assert_close(powers @ solution, y)
    assert (solution[3].abs() < 1e-8 * solution[2].abs().max()).all() and (solution[2].abs() > 1e-3).all()


@pytest.mark.parametrize("options", OPTIONS)
def test_number_of_parameters(options: dict[str, Any]) -> None:
    kernel = {None: D * D, 2: 4 * D, 1: 2 * D}[options.get("rank")]
    deep = {(): 0, (6, 4): 6 * 6 + 7 * 4, (6,): 6 * 6}[tuple(options.get("hidden", ()))]
    assert sum(parameter.numel() for parameter in make(**options).parameters()) == options.get("num_layers", 2) * (kernel + D) + deep


@pytest.mark.parametrize("check", ENCODER_CHECKS)
def test_low_rank_and_deep_keep_the_contract(check: str) -> None:
    run_check(ENCODER_CHECKS, check, DCNV2, Config(rank=3, hidden=[16], structure="stacked"))
