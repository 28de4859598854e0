"""Top-k gates: who is chosen, with what weight, and how the balance moves."""

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, tensor
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures import mmoe
from mtrec.model.gates.top_k import Config, TopK
from mtrec.testing.architecture import ARCHITECTURE_CHECKS
from mtrec.testing.architecture_export import EXPORT_CHECKS
from mtrec.testing.suite import run_check

B, D, R, E = 50, 7, 3, 6
ALL = torch.ones(R, E, dtype=torch.bool)


def make(visibility: Tensor = ALL, **options: Any) -> TopK:
    torch.manual_seed(0)
    gates = TopK(D, [0] * len(visibility), visibility, Config(**options))
    with torch.no_grad():
        gates.bias.normal_()
    return gates


def violation(count_E: Tensor) -> float:
    """How far the fullest expert is above an even share, relative to it."""
    return float(count_E.max() / count_E.double().mean() - 1)


@pytest.mark.parametrize("normalise", [True, False])
def test_equals_a_loop_over_its_equations(normalise: bool) -> None:
    gates, x = make(k=2, normalise=normalise), torch.randn(B, D)
    gates.requires_grad_(False).balance_RE.normal_(std=0.3)
    for row, a_RE in zip(x, gates(x), strict=True):
        for r in range(R):
            scores = [1 / (1 + torch.exp(-(gates.weight[E * r + e] @ row + gates.bias[E * r + e]))) for e in range(E)]
            order = sorted(range(E), key=lambda e: -float(scores[e] + gates.balance_RE[r, e]))
            total = sum(scores[e] for e in order[:2]) if normalise else 1.0
            expected = torch.stack([scores[e] / total if e in order[:2] else tensor(0.0) for e in range(E)])
            assert_close(a_RE[r], expected, rtol=1e-5, atol=1e-6)


def test_with_k_all_experts_it_is_dense() -> None:
    gates, x = make(k=E), torch.randn(B, D)
    scores = torch.sigmoid(gates.logits(x))
    assert_close(gates(x), scores / scores.sum(dim=2, keepdim=True), rtol=1e-6, atol=1e-6)


def test_the_balance_moves_the_choice_and_never_the_weight() -> None:
    gates, x = make(k=2, normalise=False), torch.randn(B, D)
    before = gates(x)
    gates.balance_RE += 5.0
    assert torch.equal(gates(x), before)
    gates.balance_RE[:, 0] += 2.0
    after = gates(x)
    assert (after[:, :, 0] > 0).all() and not (before[:, :, 0] > 0).all()
    stays = (before > 0) & (after > 0)
    assert torch.equal(after[stays], before[stays])


def test_k_experts_a_row_that_it_may_see() -> None:
    visibility = tensor([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]], dtype=torch.bool)
    gates = make(visibility, k=2)
    gates.balance_RE.copy_(tensor([[0.0] * 3 + [9.0] * 3, [9.0] * 2 + [0.0] * 4]))
    a_BRE = gates.train()(torch.randn(B, D))
    assert (a_BRE[:, ~visibility] == 0).all()
    assert ((a_BRE > 0).sum(dim=2) == 2).all()
    assert_close(a_BRE.sum(dim=2), torch.ones(B, 2))
    assert (gates.count_RE.sum(dim=1) == 2 * B).all() and (gates.count_RE[~visibility] == 0).all()


def test_experts_that_are_not_chosen_get_no_gradient() -> None:
    model = mmoe.MMoE(D, 1, 1, mmoe.Config(num_experts=E, expert_hidden=[4], gate={"kind": "top_k"}))
    model.layer.gates.balance_RE.copy_(tensor([[9.0, 9.0] + [0.0] * 4]))
    model(torch.randn(B, D)).square().sum().backward()
    for parameter in (model.layer.first.weight, model.layer.first.bias, model.layer.gates.weight):
        moved = (parameter.grad != 0).flatten(1).any(dim=1)
        assert moved.tolist() == [True] * 2 + [False] * 4


def test_each_step_moves_towards_even_use_around_a_mean_of_zero() -> None:
    gates = make(k=2, rate=0.1).train()
    gates(torch.randn(B, D))
    count_RE = gates.count_RE.clone()
    gates.after_step()
    sign_RE = torch.sign(count_RE.double().mean(dim=1, keepdim=True) - count_RE)
    assert_close(gates.balance_RE.double(), 0.1 * (sign_RE - sign_RE.mean(dim=1, keepdim=True)), rtol=1e-6, atol=1e-7)
    assert (gates.count_RE == 0).all()


def test_closed_edges_take_no_part_in_the_balance() -> None:
    visibility = tensor([[1, 1, 1, 1, 0, 0]], dtype=torch.bool)
    gates, narrow = make(visibility, k=2).train(), make(torch.ones(1, 4, dtype=torch.bool), k=2).train()
    narrow.load_state_dict({**gates.state_dict(), "balance_RE": torch.zeros(1, 4)})
    for step in range(3):
        x = torch.randn(B, D, generator=torch.Generator().manual_seed(step))
        assert_close(gates(x)[:, :, :4], narrow(x))
        gates.after_step()
        narrow.after_step()
    assert torch.equal(gates.balance_RE[:, :4], narrow.balance_RE) and (gates.balance_RE[:, 4:] == 0).all()


def test_use_becomes_even_and_without_a_rate_does_not() -> None:
    x = torch.randn(1000, D, generator=torch.Generator().manual_seed(1))
    balanced, skewed = make(k=2, rate=0.002).train(), make(k=2, rate=0.0).train()
    with torch.no_grad():
        for gates in (balanced, skewed):
            gates.bias.mul_(3)
            gates(x)
        before = [violation(count_E) for count_E in balanced.count_RE]
        for _ in range(400):
            for gates in (balanced, skewed):
                gates.after_step()
                gates(x)
    after = [violation(count_E) for count_E in balanced.count_RE]
    assert min(before) > 0.5 and max(after) < 0.1, (before, after)
    assert [violation(count_E) for count_E in skewed.count_RE] == before


def test_evaluation_leaves_counts_and_balance_alone() -> None:
    gates = make().eval()
    before = {name: value.clone() for name, value in gates.named_buffers()}
    gates(torch.randn(B, D))
    gates.after_step()
    assert all(torch.equal(value, before[name]) for name, value in gates.named_buffers())


def test_the_balance_travels_with_the_state_and_counts_do_not() -> None:
    gates = make().train()
    gates(torch.randn(B, D))
    gates.after_step()
    gates(torch.randn(B, D))
    assert set(gates.state_dict()) == {"weight", "bias", "balance_RE"}
    again = make()
    again.load_state_dict(gates.state_dict(), strict=True)
    x = torch.randn(B, D)
    assert torch.equal(again(x), gates(x))


def test_one_gate_alone_is_a_row_of_all() -> None:
    gates, x = make().double(), torch.randn(B, D).double()
    gates.balance_RE.normal_()
    for row in range(R):
        assert_close(gates.row(x, row), gates(x)[:, row : row + 1], rtol=1e-12, atol=1e-12)


def test_scores_that_vanish_stay_finite() -> None:
    gates = make()
    with torch.no_grad():
        gates.bias.fill_(-1e4)
    a_BRE = gates(torch.randn(B, D))
    assert a_BRE.isfinite().all()


def test_what_cannot_learn_or_choose_is_refused() -> None:
    with pytest.raises(ValidationError, match="never learns"):
        Config(k=1)
    assert Config(k=1, normalise=False).k == 1
    with pytest.raises(ConfigError, match="k experts to choose from"):
        make(k=E + 1)


@pytest.mark.parametrize("check", [check.__name__ for check in EXPORT_CHECKS])
def test_it_is_served_as_it_was_trained(check: str) -> None:
    run_check(ARCHITECTURE_CHECKS, check, mmoe.MMoE, mmoe.Config(gate={"kind": "top_k"}, expert_hidden=[[8], [4]]))
