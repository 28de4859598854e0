"""Averaged weights, and the statistics that go with them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["AveragedWeights"]


class AveragedWeights:
    """average = decay * average + (1 - decay) * weight after each step, starting at the first weights.

    Args:
        weights: the live tensors, by name.
        statistics: live tensors that follow the weights, by name, whose first values mean nothing: their decay after step s, from 0, is at most
            (1 + s) / (10 + s), which forgets them soon. Those of the live weights would not fit averaged ones.
    """

    def __init__(self, weights: dict[str, Tensor], decay: float, statistics: dict[str, Tensor] | None = None) -> None:
        self.decay = decay
        self._weights, self._statistics = weights, statistics or {}
        self._live = self._weights | self._statistics
        self.average = {name: live.detach().clone() for name, live in self._live.items()}

    def update(self, step: int) -> None:
        """Once a step, counted from 0, is done."""
        self._follow(self._weights, self.decay)
        self._follow(self._statistics, min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def _follow(self, live: dict[str, Tensor], decay: float) -> None:
        if live:
            torch._foreach_lerp_([self.average[name] for name in live], [value.detach() for value in live.values()], 1.0 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the averages in the place of the weights for the length of the block."""
        kept = {name: weight.detach().clone() for name, weight in self._live.items()}
        self._put(self.average)
        try:
            yield
        finally:
            self._put(kept)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, weight in self._live.items():
            weight.detach().copy_(values[name])
