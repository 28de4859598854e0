"""MultiTab-Net: its masks, what leaks at which depth, and an independent computation."""

import logging
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures.multitab import Config, MultiTab, visible_tokens
from mtrec.testing.architecture import ARCHITECTURE_CHECKS
from mtrec.testing.suite import run_check

D, F, T = 8, 3, 2


def make(seed: int = 0, **options: Any) -> MultiTab:
    torch.manual_seed(seed)
    model = MultiTab(D, F, T, Config(**{"num_heads": 2, "hidden": 6, **options})).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def tokens(num_rows: int = 5) -> Tensor:
    return torch.randn(num_rows, F, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("mask", "expected"),
    [
        ("none", ["11111", "11111", "11111", "11111", "11111"]),
        ("f_t", ["11111", "11111", "00111", "00111", "00111"]),
        ("t_t", ["10111", "01111", "11111", "11111", "11111"]),
        ("both", ["10111", "01111", "00111", "00111", "00111"]),
    ],
)
def test_who_sees_whom_of_two_tasks_and_three_features(mask: Any, expected: list[str]) -> None:
    assert [[int(digit) for digit in row] for row in expected] == visible_tokens(F, T, mask).int().tolist()
    assert torch.equal(make(mask=mask).mask_NN, visible_tokens(F, T, mask))


def by_the_equations(model: MultiTab, x_BFd: Tensor, mask: str, num_heads: int) -> Tensor:
    """Row by row, head by head, query by query; shares no code with the model."""

    def normal(v: Tensor, norm: torch.nn.LayerNorm) -> Tensor:
        deviation = v - v.mean(dim=-1, keepdim=True)
        return deviation / ((deviation**2).mean(dim=-1, keepdim=True) + 1e-5) ** 0.5 * norm.weight + norm.bias

    def sees(query: int, key: int) -> bool:
        hidden = query >= T > key if mask in ("f_t", "both") else False
        return not (hidden or (mask in ("t_t", "both") and query < T and key < T and query != key))

    outputs = []
    for x_Fd in x_BFd:
        x = torch.cat([model.task_tokens, x_Fd])
        for block in model.blocks:
            v = normal(x, block.norm_attention)
            query, key, value = (v @ block.query_key_value.weight.T + block.query_key_value.bias).split(D, dim=1)
            attended = torch.zeros_like(x)
            size = D // num_heads
            for head in range(num_heads):
                at = slice(head * size, (head + 1) * size)
                for q in range(T + F):
                    seen = [k for k in range(T + F) if sees(q, k)]
                    powers = [torch.exp(query[q, at] @ key[k, at] / math.sqrt(size)) for k in seen]
                    attended[q, at] = sum(power / sum(powers) * value[k, at] for k, power in zip(seen, powers, strict=True))
            x = x + attended @ block.project.weight.T + block.project.bias
            a = normal(x, block.norm_hidden) @ block.expand.weight.T + block.expand.bias
            x = x + (a * 0.5 * (1 + torch.erf(a / math.sqrt(2)))) @ block.contract.weight.T + block.contract.bias
        outputs.append(x[:T])
    return torch.stack(outputs)


@pytest.mark.parametrize("mask", ["none", "f_t", "t_t", "both"])
@pytest.mark.parametrize("num_blocks", [1, 2])
def test_equals_its_equations(mask: str, num_blocks: int) -> None:
    model = make(mask=mask, num_blocks=num_blocks)
    assert_close(model(tokens()), by_the_equations(model, tokens(), mask, 2), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("mask", "leaks_at_depth"),
    [("none", [True, True, True]), ("f_t", [True, True, True]), ("t_t", [False, True, True]), ("both", [False, False, False])],
)
def test_a_task_leaks_to_another_by_mask_and_depth(mask: str, leaks_at_depth: list[bool]) -> None:
    for num_blocks, leaks in enumerate(leaks_at_depth, start=1):
        model = make(mask=mask, num_blocks=num_blocks)
        (gradient_Td,) = torch.autograd.grad(model(tokens())[:, 0].sum(), model.task_tokens)
        assert (gradient_Td[0] != 0).all()
        assert bool((gradient_Td[1] != 0).any()) is leaks, f"{num_blocks} blocks"


def test_the_order_of_features_does_not_matter() -> None:
    model, order = make(num_blocks=2), [2, 0, 1]
    assert_close(model(tokens()[:, order]), model(tokens()), rtol=0, atol=1e-12)


def test_the_order_of_tasks_is_that_of_their_tokens() -> None:
    model, x = make(num_blocks=2), tokens()
    before = model(x)
    with torch.no_grad():
        model.task_tokens.copy_(model.task_tokens.flip(0).clone())
    assert_close(model(x), before.flip(1), rtol=0, atol=1e-12)


def test_rows_stand_alone() -> None:
    model, x = make(), tokens(7)
    assert_close(torch.cat([model(row) for row in x.split(1)]), model(x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("inter_sample", [False, True])
def test_number_of_parameters(inter_sample: bool, caplog: pytest.LogCaptureFixture) -> None:
    def block(e: int) -> int:
        return 4 * e * (e + 1) + 4 * e + 2 * e * 6 + 6 + e

    expected = 2 * (block(D) + (block((F + T) * D) if inter_sample else 0)) + T * D
    assert sum(parameter.numel() for parameter in make(num_blocks=2, inter_sample=inter_sample).parameters()) == expected
    assert MultiTab.num_parameters(D, F, T, Config(hidden=6, num_heads=2, num_blocks=2, inter_sample=inter_sample)) == expected
    assert ("depends on the rows that are scored with it" in caplog.text) is inter_sample


def test_inter_sample_mixes_rows_and_tasks_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "mtrec"):
        model = make(inter_sample=True, mask="both")
    assert model.mixes_rows
    x = tokens().requires_grad_()
    first = model(x)[0]
    gradient_x, gradient_tokens = torch.autograd.grad(first[0].sum(), [x, model.task_tokens])
    assert (gradient_x != 0).flatten(1).any(dim=1).all()
    assert (gradient_tokens[1] != 0).any()
    expected = {"check_rows_do_not_see_each_other": "rows attend to each other"}
    for check in ("check_shape_and_finiteness", "check_row_order_is_kept", *expected):
        run_check(ARCHITECTURE_CHECKS, check, MultiTab, Config(inter_sample=True, hidden=6), expected)


def test_a_width_that_heads_cannot_share_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"shared out among the heads \(model.embedding_dim\). Found: 6. Expected: a multiple of num_heads, 4"):
        MultiTab(6, F, T, Config())
