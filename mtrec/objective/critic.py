"""Critics: what the rest of a session is worth, learned from one row to the next.

Shapes: B rows, D width of the state, T tasks, A width of an embedded action.
"""

import copy
import itertools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Critic", "Critics", "Transitions", "reward"]


class Transitions(NamedTuple):
    """Rows, and those that come next in their sessions.

    Attributes:
        state, next_state: [B, D]; the latter may hold anything where the session ends.
        action, next_action: [B, T], what the model predicts there.
        reward: [B, T], at most 0.
        done: [B] bool, whether the session ends.
    """

    state: Tensor
    action: Tensor
    reward: Tensor
    next_state: Tensor
    next_action: Tensor
    done: Tensor


class Critic(nn.Module):
    """Q(s, a) = -softplus(MLP([s, W a + b])) of one task: at most 0, like every sum of its rewards."""

    def __init__(self, state_width: int, action_width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.action = nn.Linear(1, action_width)
        widths = [state_width + action_width, *hidden]
        layers = [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]
        self.mlp = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def forward(self, state_BD: Tensor, action_B: Tensor) -> Tensor:
        """-> [B]"""
        return -functional.softplus(self.mlp(torch.cat([state_BD, self.action(action_B.unsqueeze(1))], 1)).squeeze(1))


class Critics(nn.Module):
    """A critic for each binary task, and a slower copy of each, the target.

    Args:
        is_binary: of each of the T tasks; the others are always worth 0.
    """

    def __init__(self, is_binary: Sequence[bool], state_width: int, action_width: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.num_tasks = len(is_binary)
        self.online = nn.ModuleDict({str(task): Critic(state_width, action_width, hidden) for task, binary in enumerate(is_binary) if binary})
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, state_BD: Tensor, action_BT: Tensor) -> Tensor:
        """Q(s, a) of each task, [B, T]."""
        return self._values(self.online, state_BD, action_BT)

    def errors(self, step: Transitions, gamma: float) -> Tensor:
        """(r + gamma (1 - done) min(Q_target(s', a'), Q(s', a')) - Q(s, a))^2 of each task, [B, T]; the first part is constant."""
        with torch.no_grad():
            target = self._values(self.target, step.next_state, step.next_action)
            ahead_BT = torch.minimum(target, self._values(self.online, step.next_state, step.next_action))
            wanted_BT = step.reward + gamma * torch.where(step.done.unsqueeze(1), 0.0, ahead_BT)
        return (wanted_BT - self._values(self.online, step.state, step.action)).square()

    @torch.no_grad()
    def follow(self, rate: float) -> None:
        """Move the targets the share `rate` of the way to the critics."""
        torch._foreach_lerp_(list(self.target.parameters()), list(self.online.parameters()), rate)

    def _values(self, critics: nn.ModuleDict, state_BD: Tensor, action_BT: Tensor) -> Tensor:
        nothing = state_BD.new_zeros(len(state_BD))
        columns = [critics[str(task)](state_BD, action_BT[:, task]) if str(task) in critics else nothing for task in range(self.num_tasks)]
        return torch.stack(columns, 1)


def reward(labels_BT: Tensor, action_BT: Tensor, mask_BT: Tensor, least: float) -> Tensor:
    """y log a + (1 - y) log(1 - a), [B, T], with neither argument below `least`; 0 where the label is unknown."""
    gained = labels_BT * action_BT.clamp(min=least).log() + (1 - labels_BT) * (1 - action_BT).clamp(min=least).log()
    return torch.where(mask_BT, gained, 0.0)
