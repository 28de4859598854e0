"""Sharpness-aware steps of the dense parameters: the gradient is taken at the worst point nearby.

The first gradient, which says where that is, must not reach the embedding tables, whose optimizer would step: it is taken on a graph that ends at
the embedded batch. So tables are not perturbed; their gradient is that at the perturbed dense parameters.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mtrec import ranks

__all__ = ["SharpnessAware", "buffers_kept"]


class SharpnessAware:
    """theta + rho g / |g|, g the gradient of the loss with respect to all dense parameters theta, over all ranks.

    Source: Foret et al., Sharpness-Aware Minimization, ICLR 2021; there all parameters are perturbed, here all but the tables.

    Args:
        rho: how far to go.
    """

    def __init__(self, module: nn.Module, rho: float) -> None:
        self.parameters: list[Tensor] = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.rho = rho

    @contextlib.contextmanager
    def perturbed(self, loss: Tensor) -> Iterator[None]:
        """The block in which the parameters are there; a backward inside leaves the gradients for a step from where they were.

        Args:
            loss: of a graph that does not reach any table.
        """
        found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        zero = loss.new_zeros(())
        gradients = [zero.expand_as(parameter) if each is None else each for each, parameter in zip(found, self.parameters, strict=True)]
        flat = ranks.all_sum(torch.cat([gradient.reshape(-1) for gradient in gradients]))
        step = flat * (self.rho / flat.norm().clamp(min=1e-12))
        kept = [parameter.detach().clone() for parameter in self.parameters]
        parts = [part.view_as(own) for part, own in zip(step.split([own.numel() for own in kept]), kept, strict=True)]
        with torch.no_grad():
            torch._foreach_add_(self.parameters, parts)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, kept)


@contextlib.contextmanager
def buffers_kept(module: nn.Module) -> Iterator[None]:
    """The block after which the buffers, such as running statistics of batches, are what they were: for a second look at a batch."""
    kept = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        for buffer, before in kept:
            if not torch.equal(buffer, before):  # What was not changed may be needed in a backward, which refuses what was written to.
                buffer.copy_(before)
