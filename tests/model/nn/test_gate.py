"""Gates over visible experts."""

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from mtrec.model.nn.gate import SoftmaxGates

VISIBILITY = tensor([[1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 1, 0]], dtype=torch.bool)
SOURCE = [0, 1, 1]


@pytest.mark.parametrize("hidden", [[], [6]])
@pytest.mark.parametrize("shape", [(5, 7), (5, 2, 7)])
def test_rows_sum_to_one_and_closed_edges_are_exactly_zero(hidden: list[int], shape: tuple[int, ...]) -> None:
    a_BRE = SoftmaxGates(7, SOURCE, VISIBILITY, hidden)(torch.randn(shape))
    assert_close(a_BRE.sum(dim=2), torch.ones(5, 3))
    assert (a_BRE[:, ~VISIBILITY] == 0).all()
    assert (a_BRE[:, VISIBILITY] > 0).all()


def test_only_open_edges_have_weights() -> None:
    gates = SoftmaxGates(7, SOURCE, VISIBILITY)
    assert sum(parameter.numel() for parameter in gates.parameters()) == int(VISIBILITY.sum()) * (7 + 1)


def test_softmax_of_hand_numbers() -> None:
    gates = SoftmaxGates(1, [0], tensor([[True, False, True]]))
    with torch.no_grad():
        gates.weight.copy_(tensor([[0.0], [1.0]]))
        gates.bias.copy_(tensor([0.0, 0.0]))
    assert_close(gates(tensor([[3.0]]).log()), tensor([[[0.25, 0.0, 0.75]]]))


@pytest.mark.parametrize("hidden", [[], [6]])
def test_units_that_coincide_are_one_input(hidden: list[int]) -> None:
    gates = SoftmaxGates(7, SOURCE, VISIBILITY, hidden)
    x = torch.randn(5, 7)
    assert_close(gates(x.unsqueeze(1).expand(5, 2, 7)), gates(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("hidden", [[], [6]])
def test_each_gate_reads_its_own_unit(hidden: list[int]) -> None:
    gates = SoftmaxGates(7, SOURCE, VISIBILITY, hidden)
    x = torch.randn(5, 2, 7)
    other = x.clone()
    other[:, 1] += 1
    before, after = gates(x), gates(other)
    assert torch.equal(before[:, 0], after[:, 0])
    assert not torch.equal(before[:, 1], after[:, 1])


def test_a_unit_that_sees_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="should see an expert"):
        SoftmaxGates(7, [0, 0], tensor([[True], [False]]))


def test_reduced_precision_keeps_the_softmax_in_float32() -> None:
    gates = SoftmaxGates(7, SOURCE, VISIBILITY)
    with torch.autocast("cpu", torch.bfloat16):
        a_BRE = gates(torch.randn(5, 7))
    assert a_BRE.dtype == torch.float32
    assert_close(a_BRE.sum(dim=2), torch.ones(5, 3))
