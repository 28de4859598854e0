"""Critics on sessions so small that their values are known."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from mtrec.objective.critic import Critics, Transitions, reward


def critics_of(num_states: int, is_binary: list[bool] | None = None) -> Critics:
    torch.manual_seed(0)
    return Critics(is_binary or [True], num_states, 4, [16])


def table(rewards: list[float], following: list[int | None]) -> Transitions:
    """One row a state; from each to its following one, or to the end."""
    states, count = torch.eye(len(rewards)), len(rewards)
    places = torch.tensor([0 if place is None else place for place in following])
    action = torch.full((count, 1), 0.3)
    done = torch.tensor([place is None for place in following])
    return Transitions(states, action, torch.tensor(rewards).unsqueeze(1), states[places], action, done)


def learn(critics: Critics, transitions: Transitions, gamma: float, num_steps: int = 700, lr: float = 0.02) -> Tensor:
    """The values of the rows after training on them, [B]."""
    optimizer = torch.optim.Adam(critics.online.parameters(), lr=lr)
    for step in range(num_steps):
        optimizer.zero_grad()
        critics.errors(transitions, gamma).mean().backward()
        optimizer.step()
        if step % 2:
            critics.follow(0.2)
    with torch.no_grad():
        values: Tensor = critics(transitions.state, transitions.action)
    return values.squeeze(1)


def test_without_a_future_the_value_is_the_expected_reward() -> None:
    """Of two rows of one state and action, with rewards -log .3 and -log .7, the value is the mean: minus the cross-entropy."""
    transitions = table([math.log(0.3), math.log(0.5)], [1, None])
    twice = Transitions(*(torch.cat([part, part[:1]]) for part in transitions))
    twice.reward[2, 0] = math.log(0.7)
    values = learn(critics_of(2), twice, gamma=0.0)
    assert_close(values[:2], torch.tensor([(math.log(0.3) + math.log(0.7)) / 2, math.log(0.5)]), atol=2e-3, rtol=0)


def test_a_session_of_two_rows() -> None:
    values = learn(critics_of(2), table([-0.5, -1.2], [1, None]), gamma=0.9)
    assert_close(values, torch.tensor([-0.5 - 0.9 * 1.2, -1.2]), atol=3e-3, rtol=0)


def test_the_order_in_time_matters_and_the_order_of_rows_does_not() -> None:
    transitions = table([-2.0, -0.1], [1, None])
    moved = Transitions(*(part.flip(0) for part in transitions))
    straight, flipped = (learn(critics_of(2), each, gamma=0.9, num_steps=40) for each in (transitions, moved))
    assert_close(flipped.flip(0), straight, atol=1e-5, rtol=0)
    forward, backward = (learn(critics_of(2), table([-2.0, -0.1], order), gamma=0.9) for order in ([1, None], [None, 0]))
    assert_close(forward, torch.tensor([-2.09, -0.1]), atol=5e-3, rtol=0)
    assert_close(backward, torch.tensor([-2.0, -1.9]), atol=5e-3, rtol=0)


def test_what_comes_after_the_end_does_not_count() -> None:
    transitions = table([-0.5, -1.2], [1, None])
    other = transitions._replace(next_state=torch.where(transitions.done.unsqueeze(1), torch.nan, transitions.next_state))
    assert_close(critics_of(2).errors(other, 0.9), critics_of(2).errors(transitions, 0.9))


@pytest.mark.parametrize("shift", [2.0, -2.0])
def test_the_error_by_hand_takes_the_smaller_of_target_and_critic(shift: float) -> None:
    critics, transitions = critics_of(2), table([-0.5, -1.2], [1, None])
    with torch.no_grad():
        list(critics.target.parameters())[-1].add_(shift)
    own = critics(transitions.state, transitions.action).detach()
    target = critics.target["0"](transitions.state, transitions.action[:, 0])
    assert (target < own[:, 0]).all() if shift > 0 else (target > own[:, 0]).all()
    ahead = target[1] if shift > 0 else own[1, 0]
    errors = critics.errors(transitions, 0.9)
    assert_close(errors[:, 0], torch.stack([(-0.5 + 0.9 * ahead - own[0, 0]) ** 2, (-1.2 - own[1, 0]) ** 2]))
    errors.sum().backward()
    assert all(parameter.grad is not None for parameter in critics.online.parameters())
    assert all(parameter.grad is None for parameter in critics.target.parameters())


def test_targets_follow() -> None:
    critics = critics_of(2)
    before = [parameter.clone() for parameter in critics.target.parameters()]
    with torch.no_grad():
        for parameter in critics.online.parameters():
            parameter.add_(1.0)
    critics.follow(0.2)
    for old, new in zip(before, critics.target.parameters(), strict=True):
        assert_close(new, old + 0.2)
    critics.follow(1.0)
    for online, target in zip(critics.online.parameters(), critics.target.parameters(), strict=True):
        assert_close(target, online)


def test_values_are_never_above_0_and_exactly_0_for_regressions() -> None:
    values = critics_of(3, [True, False, True])(10 * torch.randn(50, 3), torch.rand(50, 3))
    assert values.shape == (50, 3) and (values[:, 1] == 0).all() and (values[:, [0, 2]] < 0).all()


@pytest.mark.parametrize(
    ("label", "action", "expected"),
    [(1.0, 0.3, math.log(0.3)), (0.0, 0.3, math.log(0.7)), (1.0, 0.0, math.log(1e-4)), (0.0, 1.0, math.log(1e-4)), (1.0, 1.0, 0.0)],
)
def test_the_reward_is_minus_the_cross_entropy_within_its_bounds(label: float, action: float, expected: float) -> None:
    known = torch.tensor([[True], [False]])
    found = reward(torch.full((2, 1), label), torch.full((2, 1), action), known, 1e-4)
    assert_close(found, torch.tensor([[expected], [0.0]]))
