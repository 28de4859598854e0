"""From what critics expect to weights, and the two controls."""

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.testing import assert_close

from mtrec.objective.losses.bce import BCE
from mtrec.objective.losses.bce import Config as BceConfig
from mtrec.objective.task_losses import TaskLosses
from mtrec.objective.weightings.rmtl import Config, Rmtl
from mtrec.types import Signals

NUM_ROWS, NUM_TASKS = 40, 3


def signals(values_BT: Tensor, mask_BT: Tensor | None = None, step: int = 0) -> Signals:
    mask_BT = torch.ones_like(values_BT, dtype=torch.bool) if mask_BT is None else mask_BT
    return Signals(step, torch.ones(values_BT.shape[1]), torch.ones_like(values_BT), mask_BT, critic_values=values_BT)


@pytest.fixture
def given() -> Signals:
    generator = torch.Generator().manual_seed(0)
    mask_BT = torch.rand(NUM_ROWS, NUM_TASKS, generator=generator) < 0.6
    mask_BT[:, 2] = False
    return signals(-3 * torch.rand(NUM_ROWS, NUM_TASKS, generator=generator), mask_BT)


def weights(given: Signals, **options: Any) -> Tensor:
    return Rmtl(given.critic_values.shape[1], Config(**options)).weights(given)


def test_the_weights_by_hand() -> None:
    """With gamma 0 and a critic that says minus the cross-entropy, w = 1 + lambda BCE."""
    found = weights(signals(torch.tensor([[math.log(0.25), 0.0], [-4.0, -1.0]])), scale=0.5, gamma=0.0)
    assert_close(found, torch.tensor([[1 + 0.5 * math.log(4), 1.0], [3.0, 1.5]]))


def test_weights_lie_between_1_and_what_the_worst_session_gives() -> None:
    found = weights(signals(torch.tensor([[5.0], [-1e9], [-2.0]])), scale=0.7, gamma=0.95, reward_clip=1e-4)
    assert_close(found[:, 0], torch.tensor([1.0, 1 + 0.7 * math.log(1e4) / 0.05, 2.4]))


def test_before_there_are_critics_all_weights_are_1() -> None:
    for options in ({}, {"normalise": "batch_mean"}, {"control": "shuffle"}, {"control": "const_mean"}):
        assert torch.equal(weights(signals(torch.zeros(5, 2)), **options), torch.ones(5, 2)), options


def test_batch_mean_leaves_the_mean_of_known_weights_at_1(given: Signals) -> None:
    plain, found = weights(given), weights(given, normalise="batch_mean")
    assert_close(found[given.mask].mean(), torch.tensor(1.0))
    assert_close(found / found[0, 0], plain / plain[0, 0])


def test_const_mean_is_the_mean_of_each_task(given: Signals) -> None:
    plain, found = weights(given), weights(given, control="const_mean")
    for task in range(2):
        assert_close(found[:, task], plain[given.mask[:, task], task].mean().expand(NUM_ROWS))
    assert torch.equal(found[:, 2], torch.ones(NUM_ROWS))


def test_shuffle_moves_the_known_weights_of_a_task_among_its_known_rows(given: Signals) -> None:
    plain, found = weights(given), weights(given, control="shuffle")
    for task in range(2):
        known = given.mask[:, task]
        assert not torch.equal(found[known, task], plain[known, task])
        assert torch.equal(found[known, task].sort().values, plain[known, task].sort().values)
    assert torch.equal(found, weights(given, control="shuffle"))
    assert not torch.equal(found, weights(given._replace(step=1), control="shuffle"))


def test_the_weights_are_constants_to_the_gradient() -> None:
    values_BT, logits_BT = torch.full((4, 1), -1.0, requires_grad=True), torch.zeros(4, 1, requires_grad=True)
    losses = TaskLosses([BCE(BceConfig())], [1.0])
    found = losses(logits_BT, torch.zeros(4, 1), torch.ones(4, 1, dtype=torch.bool), torch.ones(4))
    losses.total(found, weights(signals(values_BT))).backward()
    assert values_BT.grad is None and logits_BT.grad is not None
    assert_close(logits_BT.grad, torch.full((4, 1), 1.7 * 0.5 / 4))


@pytest.mark.parametrize("options", [{"gamma": 1.0}, {"scale": -0.1}, {"reward_clip": 0.0}, {"control": "none_at_all"}, {"normalise": "mean"}])
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Config(**options)
