"""Exclusive gates: what the draw closes stays closed."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.architectures import mmoe
from mtrec.model.gates import softmax
from mtrec.model.gates.exclusive import Config, Exclusive
from mtrec.testing.architecture import ARCHITECTURE_CHECKS
from mtrec.testing.architecture_export import EXPORT_CHECKS
from mtrec.testing.suite import run_check
from tests.model.architectures.by_hand import reached, settle

B, D, R, E = 9, 5, 3, 8
ALL = torch.ones(R, E, dtype=torch.bool)


def make(**options: Any) -> Exclusive:
    torch.manual_seed(0)
    return Exclusive(D, [0] * R, ALL, Config(**options))


def mmoe_with(**gate: Any) -> mmoe.MMoE:
    torch.manual_seed(0)
    return settle(mmoe.MMoE(D, 1, R, mmoe.Config(num_experts=E, expert_hidden=[6, 4], gate={"kind": "exclusive", **gate})))


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_how_many_see_an_expert(alpha: float, seed: int) -> None:
    num_drawn = int(alpha * E)
    for mode, of_drawn in (("exclusivity", 1), ("exclusion", R - 1)):
        seen = make(alpha=alpha, seed=seed, mode=mode).visible_RE.sum(dim=0).tolist()
        assert seen == [of_drawn] * num_drawn + [R] * (E - num_drawn)


def test_one_mode_closes_what_the_other_leaves_open() -> None:
    both = [make(alpha=1.0, mode=mode).visible_RE for mode in ("exclusivity", "exclusion")]
    assert torch.equal(both[0], ~both[1])


def test_the_seed_decides_the_draw_and_reaches_every_unit() -> None:
    draws = [Exclusive.open_edges(torch.ones(R, 300, dtype=torch.bool), Config(alpha=1.0, seed=seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert (draws[0].sum(dim=1) > 70).all()


@pytest.mark.parametrize("mode", ["exclusivity", "exclusion"])
def test_a_closed_edge_has_weight_and_gradient_zero(mode: str) -> None:
    model = mmoe_with(mode=mode)
    x = torch.randn(B, D).double()
    visible_RE = model.layer.gates.visible_RE
    a_BRE = model.layer.gates(x)
    assert (a_BRE[:, ~visible_RE] == 0).all() and (a_BRE[:, visible_RE] > 0).all()
    assert_close(a_BRE.sum(dim=2), torch.ones(B, R).double())
    z_BTH = model(x)
    for task in range(R):
        assert reached(z_BTH[:, task], model.layer) == visible_RE[task].tolist()


def test_without_a_draw_it_is_softmax() -> None:
    model = mmoe_with(alpha=0.0)
    other = mmoe.MMoE(D, 1, R, mmoe.Config(num_experts=E, expert_hidden=[6, 4])).double()
    other.load_state_dict({name: value for name, value in model.state_dict().items() if "visible" not in name}, strict=True)
    x = torch.randn(B, D).double()
    assert torch.equal(model(x), other(x))
    assert isinstance(other.layer.gates, softmax.Softmax) and not isinstance(other.layer.gates, Exclusive)


def test_every_expert_exclusive_makes_tasks_models_of_their_own() -> None:
    model = mmoe_with(alpha=1.0)
    z_BTH = model(torch.randn(B, D).double())
    owners = [reached(z_BTH[:, task], model.layer) for task in range(R)]
    assert [sum(column) for column in zip(*owners, strict=True)] == [1] * E


def test_it_closes_edges_of_what_may_be_seen() -> None:
    narrow = ALL.clone()
    narrow[0, 4:] = False
    gates = Exclusive(D, [0] * R, narrow, Config(alpha=0.2))
    assert not (gates.visible_RE & ~narrow).any()


@pytest.mark.parametrize(("mode", "num_open"), [("exclusivity", 4 + 4 * R), ("exclusion", 4 * (R - 1) + 4 * R)])
def test_number_of_parameters(mode: str, num_open: int) -> None:
    found = sum(parameter.numel() for parameter in make(mode=mode).parameters())
    assert found == (D + 1) * num_open == Exclusive.num_parameters(D, ALL, Config(mode=mode))


def test_a_unit_left_without_experts_is_refused() -> None:
    with pytest.raises(ConfigError, match="leaves output units without an expert"):
        Exclusive(D, [0] * R, torch.ones(R, 2, dtype=torch.bool), Config(alpha=1.0))


def test_the_draw_travels_with_the_state_and_another_is_refused() -> None:
    gates = make(seed=0)
    make(seed=0).load_state_dict(gates.state_dict(), strict=True)
    assert torch.equal(gates.state_dict()["visible_RE"], gates.visible_RE)
    with pytest.raises(ConfigError, match="another draw"):
        make(seed=1).load_state_dict(gates.state_dict(), strict=True)


@pytest.mark.parametrize("check", [check.__name__ for check in EXPORT_CHECKS])
def test_it_is_served_as_it_was_trained(check: str) -> None:
    run_check(ARCHITECTURE_CHECKS, check, mmoe.MMoE, mmoe.Config(gate={"kind": "exclusive"}))
