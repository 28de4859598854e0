"""Experts with batch normalisation and Swish: what comes before Swish is standard, and no unit is dead."""

import torch
from torch import nn
from torch.testing import assert_close

from mtrec.model.nn.normalised_experts import NormalisedExperts

D, H, COUNTS = 5, 4, [2, 1, 3]


def make() -> tuple[NormalisedExperts, torch.Tensor]:
    torch.manual_seed(0)
    return NormalisedExperts(D, H, COUNTS).double(), torch.randn(3, 200, D, dtype=torch.float64) * 3 + 1


def test_one_normalisation_for_all_equals_one_for_each() -> None:
    experts, x = make()
    found, expert = experts(x), 0
    for unit, count in enumerate(COUNTS):
        for _ in range(count):
            a = nn.BatchNorm1d(H).double()(x[unit] @ experts.weight[expert].T)
            assert_close(found[:, expert], a * torch.sigmoid(a), rtol=0, atol=1e-12)
            expert += 1
    assert expert == found.shape[1]


def test_what_comes_before_swish_has_mean_zero_and_variance_one_over_the_batch() -> None:
    experts, x = make()
    normal = experts.norm(experts.linear(x, 0, 3), 0, sum(COUNTS) * H)
    assert normal.mean(dim=0).abs().max() < 1e-12
    assert_close(normal.var(dim=0, correction=0), torch.ones(sum(COUNTS) * H, dtype=torch.float64), rtol=0, atol=1e-4)  # the epsilon in the root


def test_no_unit_is_dead() -> None:
    experts, x = make()
    assert (experts(x) != 0).all()
    assert (experts.eval()(x) != 0).all()


def test_a_part_is_its_experts_alone() -> None:
    experts, x = make()
    experts(x)
    whole = experts.eval()(x)
    assert_close(experts.part(x[1:2], 1, 2), whole[:, 2:3], rtol=0, atol=1e-12)
    assert_close(experts.part(x[1:], 1, 3), whole[:, 2:], rtol=0, atol=1e-12)


def test_number_of_parameters() -> None:
    assert sum(parameter.numel() for parameter in make()[0].parameters()) == 6 * (D * H + 2 * H)
