"""Batch normalisation: of a batch, of parts of its channels, of one row, of several ranks."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from mtrec import ranks
from mtrec.model.nn.batch_norm import BatchNorm

C = 6


def started(seed: int = 0) -> BatchNorm:
    norm = BatchNorm(C).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        norm.weight.normal_(generator=generator)
        norm.bias.normal_(generator=generator)
    return norm


def rows(num_rows: int, seed: int = 1) -> Tensor:
    return 3.0 + 2.0 * torch.randn(num_rows, C, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_is_the_batch_norm_of_torch_in_training_and_evaluation() -> None:
    norm, reference = started(), nn.BatchNorm1d(C).double()
    reference.load_state_dict({"weight": norm.weight, "bias": norm.bias, "running_mean": norm.mean, "running_var": norm.variance}, strict=False)
    for seed in range(3):
        x = rows(7, seed).requires_grad_()
        y, expected = norm(x, 0, C), reference(x)
        assert_close(y, expected, rtol=0, atol=1e-12)
        assert_close(*(torch.autograd.grad(z.pow(3).sum(), x)[0] for z in (y, expected)), rtol=1e-10, atol=1e-10)
    assert_close(norm.mean, reference.running_mean, rtol=0, atol=1e-12)
    assert_close(norm.variance, reference.running_var, rtol=0, atol=1e-12)
    assert_close(norm.eval()(rows(7), 0, C), reference.eval()(rows(7)), rtol=0, atol=1e-12)


def test_parts_make_the_whole() -> None:
    whole, parts, x = started(), started(), rows(7)
    expected = whole(x, 0, C)
    assert_close(torch.cat([parts(x[:, :2], 0, 2), parts(x[:, 2:], 2, C)], dim=1), expected, rtol=0, atol=1e-12)
    assert_close(parts.state_dict(), whole.state_dict(), rtol=0, atol=1e-12)


def test_one_row_is_normalised_by_the_running_statistics_and_leaves_them() -> None:
    norm = started()
    norm(rows(7), 0, C)
    before, x = {name: value.clone() for name, value in norm.state_dict().items()}, rows(1).requires_grad_()
    y = norm(x, 0, C)
    assert_close(y, (x - before["mean"]) / (before["variance"] + 1e-5).sqrt() * norm.weight + norm.bias, rtol=1e-12, atol=1e-12)
    assert_close(norm.state_dict(), before, rtol=0, atol=0)
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert_close(gradient[0], norm.weight / (before["variance"] + 1e-5).sqrt())
    assert norm(rows(0), 0, C).shape == (0, C)


def test_a_batch_can_follow_before_the_gradient_of_the_last() -> None:
    norm = started()
    losses = [norm(rows(num_rows).requires_grad_(), 0, C).pow(3).sum() for num_rows in (7, 1, 7)]
    torch.autograd.backward(losses)
    assert norm.weight.grad is not None and norm.weight.grad.isfinite().all()


def test_reduced_precision_is_widened() -> None:
    norm = BatchNorm(C)
    assert norm(rows(7).bfloat16(), 0, C).dtype == torch.float32


@pytest.mark.parametrize("sizes", [(5, 3), (4, 1), (1, 1), (1, 0, 6)])
def test_running_statistics_are_those_of_all_ranks_and_equal_on_each(monkeypatch: pytest.MonkeyPatch, sizes: tuple[int, ...]) -> None:
    """First every rank tells what it would add to the sum, then every rank gets the sum."""
    shares = rows(sum(sizes)).split(list(sizes))
    told: list[Tensor] = []
    monkeypatch.setattr(ranks, "world_size", lambda: len(sizes))
    monkeypatch.setattr(ranks, "all_sum", lambda own: told.append(own) or own)
    for share in shares:
        started()(share, 0, C)
    total = torch.stack(told).sum(dim=0)
    monkeypatch.setattr(ranks, "all_sum", lambda own: total)
    for share in shares:
        norm, alone = started(), started()
        y = norm(share, 0, C)
        assert_close(norm.mean, 0.1 * rows(sum(sizes)).mean(dim=0), rtol=1e-12, atol=1e-12)
        assert_close(norm.variance, 0.9 + 0.1 * rows(sum(sizes)).var(dim=0), rtol=1e-9, atol=1e-9)
        with monkeypatch.context() as one_rank:
            one_rank.setattr(ranks, "world_size", lambda: 1)
            assert_close(y, alone(share, 0, C), rtol=0, atol=0)
