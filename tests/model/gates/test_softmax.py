"""Softmax gates over visible experts."""

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from mtrec.model.gates.softmax import Config, Softmax
from mtrec.model.nn.gate import build_gates, num_gate_parameters
from mtrec.schema import GatePart

VISIBILITY = tensor([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 0]], dtype=torch.bool)
SOURCE = [0, 1, 1]


def make(hidden: list[int]) -> Softmax:
    torch.manual_seed(0)
    return Softmax(7, SOURCE, VISIBILITY, Config(hidden=hidden))


@pytest.mark.parametrize("hidden", [[], [6]])
@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 7)])
def test_rows_sum_to_one_and_closed_edges_are_exactly_zero(hidden: list[int], shape: tuple[int, ...]) -> None:
    a_BRE = make(hidden)(torch.randn(shape))
    assert_close(a_BRE.sum(dim=2), torch.ones(5, 3))
    assert (a_BRE[:, ~VISIBILITY] == 0).all()
    assert (a_BRE[:, VISIBILITY] > 0).all()


def test_only_open_edges_have_weights() -> None:
    gates = make([])
    assert sum(parameter.numel() for parameter in gates.parameters()) == int(VISIBILITY.sum()) * (7 + 1)


def test_softmax_of_hand_numbers() -> None:
    gates = Softmax(1, [0], tensor([[True, False, True]]), Config())
    with torch.no_grad():
        gates.weight.copy_(tensor([[0.0], [1.0]]))
        gates.bias.copy_(tensor([0.0, 0.0]))
    assert_close(gates(tensor([[3.0]]).log()), tensor([[[0.25, 0.0, 0.75]]]))


@pytest.mark.parametrize("hidden", [[], [6]])
def test_units_that_coincide_are_one_input(hidden: list[int]) -> None:
    gates = make(hidden)
    x = torch.randn(5, 7)
    assert_close(gates(x.unsqueeze(1).expand(5, 2, 7)), gates(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("hidden", [[], [6]])
def test_each_gate_reads_its_own_unit(hidden: list[int]) -> None:
    gates = make(hidden)
    x = torch.randn(5, 2, 7)
    other = x.clone()
    other[:, 1] += 1
    before, after = gates(x), gates(other)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_a_unit_that_sees_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="should see an expert"):
        Softmax(7, [0, 0], tensor([[True], [False]]), Config())


def test_reduced_precision_keeps_the_softmax_in_float32() -> None:
    gates = make([])
    with torch.autocast("cpu", torch.bfloat16):
        a_BRE = gates(torch.randn(5, 7))
    assert a_BRE.dtype == torch.float32
    assert_close(a_BRE.sum(dim=2), torch.ones(5, 3))


@pytest.mark.parametrize("hidden", [[], [6]])
@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 7)])
def test_one_gate_alone_is_a_row_of_all(hidden: list[int], shape: tuple[int, ...]) -> None:
    gates, x = make(hidden).double(), torch.randn(shape).double()
    for row in range(3):
        assert_close(gates.row(x, row), gates(x)[:, row : row + 1], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("hidden", [[], [6, 4]])
def test_a_configuration_names_them(hidden: list[int]) -> None:
    part = GatePart(kind="softmax", hidden=hidden)
    gates = build_gates(part, 7, SOURCE, VISIBILITY)
    assert isinstance(gates, Softmax)
    by_hand = 6 * (7 + 1) if not hidden else 3 * ((7 + 1) * 6 + (6 + 1) * 4) + 6 * (4 + 1)
    assert sum(parameter.numel() for parameter in gates.parameters()) == num_gate_parameters(part, 7, VISIBILITY) == by_hand
