"""Masked, weighted losses of all tasks."""

import pytest
import torch
from torch import Tensor, nn, tensor
from torch.testing import assert_close

from mtrec.objective.losses import bce, huber, mse
from mtrec.objective.task_losses import TaskLosses

NAN = float("nan")


def make() -> TaskLosses:
    losses: list[nn.Module] = [bce.BCE(bce.Config()), mse.MSE(mse.Config()), huber.Huber(huber.Config())]
    return TaskLosses(losses, [1.0, 0.1, 2.0])


def batch(num_rows: int = 8, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(num_rows, 3, generator=generator)
    labels = (torch.rand(num_rows, 3, generator=generator) > 0.5).float()
    mask = torch.rand(num_rows, 3, generator=generator) > 0.4
    return logits, labels, mask, torch.rand(num_rows, generator=generator)


def test_equals_a_naive_loop() -> None:
    logits, labels, mask, weight = batch()
    found = make()(logits, labels, mask, weight)
    for task in range(3):
        total, known = 0.0, 0.0
        for row in range(8):
            s, y = logits[row, task].item(), labels[row, task].item()
            loss = -torch.tensor(s if y else -s).sigmoid().log().item() if task == 0 else (s - y) ** 2
            if task == 2:
                loss = loss / 2 if abs(s - y) <= 1 else abs(s - y) - 0.5
            expected = loss if mask[row, task] else 0.0
            assert found.per_sample[row, task].item() == pytest.approx(expected, rel=1e-5, abs=1e-7)
            total += weight[row].item() * expected
            known += weight[row].item() * float(mask[row, task])
        assert found.mean[task].item() == pytest.approx(total / known, rel=1e-5)
    assert found.present.all()


@pytest.mark.parametrize("poison", [NAN, float("inf"), -float("inf")])
def test_nothing_unknown_leaks(poison: float) -> None:
    logits, labels, mask, weight = batch()
    clean = make()(logits, labels, mask, weight)
    labels = torch.where(mask, labels, poison)
    logits = torch.where(mask, logits, poison).requires_grad_()
    found = make()(logits, labels, mask, weight)
    found.mean.sum().backward()
    assert torch.equal(found.per_sample, clean.per_sample) and torch.equal(found.mean, clean.mean)
    assert (found.per_sample[~mask] == 0).all()
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask] != 0).all()


@pytest.mark.parametrize("why", ["no label", "no weight", "no rows"])
def test_an_absent_task_is_zero_with_zero_gradient(why: str) -> None:
    logits, labels, mask, weight = batch(0 if why == "no rows" else 8)
    logits.requires_grad_()
    if why == "no label":
        mask[:, 1] = False
    if why == "no weight":
        weight = torch.where(mask[:, 1], 0.0, 1.0)
    found = make()(logits, labels, mask, weight)
    found.mean.sum().backward()
    assert not found.present[1] and found.mean[1] == 0
    assert (logits.grad[:, 1] == 0).all()
    assert found.mean.isfinite().all()


def test_the_mean_of_a_row_given_twice_is_that_of_double_weight() -> None:
    logits, labels, mask, weight = batch()
    twice = [torch.cat([values, values[:3]]) for values in (logits, labels, mask, weight)]
    double = weight.clone()
    double[:3] *= 2
    assert_close(make()(*twice).mean, make()(logits, labels, mask, double).mean)


def test_means_of_two_ranks_add_up_to_that_of_the_whole_batch() -> None:
    whole = batch()
    ranks = [[values[start : start + 4] for values in whole] for start in (0, 4)]
    losses = make()
    known_weight_T = sum(losses.known_weight(mask, weight) for _, _, mask, weight in ranks)
    means = [losses(*rank, known_weight_T).mean for rank in ranks]
    assert_close(means[0] + means[1], losses(*whole).mean)


def test_reduced_precision_logits_give_float32_losses() -> None:
    logits, labels, mask, weight = batch()
    assert make()(logits.bfloat16(), labels, mask, weight).mean.dtype == torch.float32


def test_task_weights_are_kept_apart() -> None:
    losses = make()
    assert_close(losses.task_weight_T, tensor([1.0, 0.1, 2.0]))
    assert "task_weight_T" not in losses.state_dict()
