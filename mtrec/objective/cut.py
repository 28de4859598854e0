"""Where the gradients of the tasks meet: a node that is the identity forward and, in the one backward, sees every task's gradient by itself.

Embedding tables whose optimizer runs inside the backward pass take one step for each pass that reaches them, so that gradients of tasks cannot
be told apart by T passes through the model. Here each task goes on from an alias of its own of the shared tensors; in the backward the T
gradients arrive together, are combined, and one gradient goes on to whatever made the shared tensors. The models know nothing of this node,
and exported graphs never hold it.

A wide tensor that tasks read through a linear layer alone is not read T times: each task goes on from its own outputs of that layer, and the
gradient at the wide tensor stays a product of two thin ones.

Shapes: B rows, D width, T tasks, G outputs of the layer, n those of one task.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

__all__ = ["Combine", "Factored", "Gradients", "LinearRead", "dense", "fan_out", "fan_out_read"]


class Factored(NamedTuple):
    """A gradient [B, D] that is left [B, n] times right [n, D], at a tensor of this dtype."""

    left: Tensor
    right: Tensor
    dtype: torch.dtype


Gradients: TypeAlias = Sequence[Sequence[Tensor | Factored]]  # For each task, its gradient at each of the shared tensors.
Combine: TypeAlias = Callable[[Gradients], Sequence[Tensor]]


def dense(part: Tensor | Factored) -> Tensor:
    """A gradient with all its elements."""
    return (part.left @ part.right).to(part.dtype) if isinstance(part, Factored) else part


class LinearRead(NamedTuple):
    """That the tasks read the last of the shared tensors, x [B, D], through y = x W' + b alone, each through rows of its own.

    Attributes:
        y: [B, G], of x without its gradient: from here on W and b have the gradients of all tasks as they are.
        weight: W [G, D].
        first: task t has the rows from first[t] up to first[t + 1].
    """

    y: Tensor
    weight: Tensor
    first: Sequence[int]


def fan_out(shared: Sequence[Tensor], num_tasks: int, combine: Combine) -> list[list[Tensor]]:
    """For each task, aliases of the shared tensors.

    Args:
        shared: the last tensors that several tasks read. They are cut together: one solution holds for all of them.
        combine: from the gradients of the tasks to the one that goes on, a tensor for each of the shared ones. They are not to be written to. Those
            of a task that no gradient comes from are zeros.
    """
    aliases = _FanOut.apply(combine, num_tasks, None, *shared)  # type: ignore[no-untyped-call]
    return _by_task(aliases, num_tasks)


def fan_out_read(shared: Sequence[Tensor], num_tasks: int, combine: Combine, read: LinearRead) -> tuple[list[list[Tensor]], Tensor]:
    """For each task, aliases of the shared tensors but the last; and y, of which each task may read its own columns only.

    To `combine` come the gradients at the last of the shared tensors as factors.
    """
    *aliases, y_BG = _FanOut.apply(combine, num_tasks, read, *shared, read.y)  # type: ignore[no-untyped-call]
    return _by_task(aliases, num_tasks), y_BG


def _by_task(each: Sequence[Tensor], num_tasks: int) -> list[list[Tensor]]:
    number = len(each) // num_tasks
    return [list(each[task * number : (task + 1) * number]) for task in range(num_tasks)]


class _FanOut(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, combine: Combine, num_tasks: int, read: LinearRead | None, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.combine, ctx.num_tasks, ctx.first = combine, num_tasks, None
        if read is None:
            return tuple(tensor.view_as(tensor) for tensor in tensors * num_tasks)
        *aliased, x_BD, y_BG = tensors
        ctx.first, ctx.dtype = read.first, x_BD.dtype
        ctx.save_for_backward(read.weight)
        return tuple(tensor.view_as(tensor) for tensor in [*aliased * num_tasks, y_BG])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.first is None:
            return None, None, None, *ctx.combine(_by_task(gradients, ctx.num_tasks))
        *at_aliases, y_BG = gradients
        weight_GD = ctx.saved_tensors[0].to(y_BG.dtype)
        at_x = [Factored(y_BG[:, start:stop], weight_GD[start:stop], ctx.dtype) for start, stop in pairwise(ctx.first)]
        each = [[*own, last] for own, last in zip(_by_task(at_aliases, ctx.num_tasks), at_x, strict=True)]
        return None, None, None, *ctx.combine(each), y_BG
