"""Whether training reaches every part of every parameter."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["unreached"]


def unreached(model: nn.Module, inputs: Callable[[int], Any], num_steps: int = 5) -> dict[str, list[int]]:
    """The parameters, and their slices along the first dimension, that have no gradient but zero in a few steps towards random targets.

    Raises:
        AssertionError: if a gradient is not finite.
    """
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    reached = {name: torch.zeros(_slices(parameter).shape[0], dtype=torch.bool) for name, parameter in model.named_parameters()}
    for step in range(num_steps):
        optimizer.zero_grad()
        y: Tensor = model(inputs(step))
        target = torch.randn(y.shape, generator=torch.Generator().manual_seed(100 + step))
        torch.autograd.backward(functional.mse_loss(y, target))
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                assert parameter.grad.isfinite().all(), f"{name} has a gradient that is not finite"
                reached[name] |= (_slices(parameter.grad) != 0).any(dim=1)
        optimizer.step()
    return {name: (~alive).nonzero().flatten().tolist() for name, alive in reached.items() if not alive.all()}


def _slices(values: Tensor) -> Tensor:
    return values.reshape(values.shape[0] if values.dim() else 1, -1)
