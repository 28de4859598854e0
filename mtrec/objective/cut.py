"""Where the gradients of the tasks meet: a node that is the identity forward and, in the one backward, sees every task's gradient by itself.

Embedding tables whose optimizer runs inside the backward pass take one step for each pass that reaches them, so that gradients of tasks cannot
be told apart by T passes through the model. Here each task goes on from an alias of its own of the shared tensors; in the backward the T
gradients arrive together, are combined, and one gradient goes on to whatever made the shared tensors. The models know nothing of this node,
and exported graphs never hold it.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

__all__ = ["Combine", "Gradients", "fan_out"]

Gradients: TypeAlias = Sequence[Sequence[Tensor]]  # For each task, its gradient at each of the shared tensors.
Combine: TypeAlias = Callable[[Gradients], Sequence[Tensor]]


def fan_out(shared: Sequence[Tensor], num_tasks: int, combine: Combine) -> list[list[Tensor]]:
    """For each task, aliases of the shared tensors.

    Args:
        shared: the last tensors that several tasks read. They are cut together: one solution holds for all of them.
        combine: from the gradients of the tasks to the one that goes on, a tensor for each of the shared ones. They are not to be written to. Those
            of a task that no gradient comes from are zeros.
    """
    aliases = _FanOut.apply(combine, num_tasks, *shared)  # type: ignore[no-untyped-call]
    return [list(aliases[task * len(shared) : (task + 1) * len(shared)]) for task in range(num_tasks)]


class _FanOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, combine: Combine, num_tasks: int, *shared: Tensor) -> tuple[Tensor, ...]:
        ctx.combine, ctx.num_shared = combine, len(shared)
        return tuple(tensor.view_as(tensor) for _ in range(num_tasks) for tensor in shared)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        each = [gradients[first : first + ctx.num_shared] for first in range(0, len(gradients), ctx.num_shared)]
        return None, None, *ctx.combine(each)
