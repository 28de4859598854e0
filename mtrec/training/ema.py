"""Averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["AveragedWeights"]


class AveragedWeights:
    """average = decay * average + (1 - decay) * weight after each step, starting at the first weights.

    Args:
        weights: the live tensors, by name.
    """

    def __init__(self, weights: dict[str, Tensor], decay: float) -> None:
        self.decay = decay
        self._live = weights
        self.average = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(list(self.average.values()), [weight.detach() for weight in self._live.values()], 1.0 - self.decay)

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
