"""Towers: one head a task."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.model.nn.mlp import num_mlp_parameters
from mtrec.model.towers import Towers


@pytest.mark.parametrize("hidden", [[], [4], [4, 3]])
def test_equals_a_loop_over_tasks(hidden: list[int]) -> None:
    towers, z_BTH = Towers(5, 3, hidden), torch.randn(7, 3, 5)
    with torch.no_grad():
        towers.logits.bias.normal_()
    columns = []
    for task in range(3):
        h = z_BTH[:, task]
        for linear in towers.hidden.layers:
            h = torch.relu(h @ linear.weight[task].T + linear.bias[task])
        columns.append(h @ towers.logits.weight[task, 0] + towers.logits.bias[task, 0])
    assert_close(towers(z_BTH), torch.stack(columns, dim=1), rtol=1e-6, atol=1e-6)


def test_no_task_moves_the_tower_of_another() -> None:
    towers = Towers(5, 3, [4])
    towers(torch.randn(7, 3, 5))[:, 1].sum().backward()
    for parameter in towers.parameters():
        assert (parameter.grad[[0, 2]] == 0).all()
        assert (parameter.grad[1] != 0).any()


@pytest.mark.parametrize("hidden", [[], [4, 3]])
def test_number_of_parameters(hidden: list[int]) -> None:
    expected = 3 * (num_mlp_parameters(5, hidden) + [5, *hidden][-1] + 1)
    assert sum(parameter.numel() for parameter in Towers(5, 3, hidden).parameters()) == expected


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rows(num_rows: int) -> None:
    assert Towers(5, 3, [4])(torch.randn(num_rows, 3, 5)).shape == (num_rows, 3)
