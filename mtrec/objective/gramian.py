"""What most aggregators share: the combined gradient is a weighted sum of the tasks' gradients, and the weights depend on their inner products.

Shapes: T tasks, P tasks present in the batch, N elements of the cut.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtrec.objective.cut import Factored, Gradients, dense

__all__ = ["GramianAggregator", "gramian", "square_lengths", "weighted_sum"]


def gramian(gradients: Gradients) -> Tensor:
    """The inner products of the tasks' gradients, [T, T]; float32 or wider."""
    each, tasks = [_prepared(own) for own in gradients], range(len(gradients))
    # Product by product: a product of matrices with so few endless rows is slower, and adds up without care for rounding.
    products = {(i, j): _product(each[i], each[j]) for i, j in itertools.combinations_with_replacement(tasks, 2)}
    return torch.stack([products[min(i, j), max(i, j)] for i in tasks for j in tasks]).view(len(tasks), len(tasks))


def square_lengths(gradients: Gradients) -> Tensor:
    """The diagonal of the Gramian, [T]."""
    return torch.stack([_product(own, own) for own in map(_prepared, gradients)])


def weighted_sum(weights: Sequence[float], gradients: Gradients) -> list[Tensor]:
    """sum_t w_t g_t, a tensor for each of the shared ones."""
    return [_sum(weights, parts) for parts in zip(*gradients, strict=True)]


def _prepared(own: Sequence[Tensor | Factored]) -> list[Tensor | Factored]:
    """A task's gradients for inner products; of thin factors these are cheap enough for float64."""
    return [
        part._replace(left=part.left.double(), right=part.right.double()) if isinstance(part, Factored) else _wide(part).reshape(-1) for part in own
    ]


def _product(one: Sequence[Tensor | Factored], other: Sequence[Tensor | Factored]) -> Tensor:
    total: Tensor = sum(_inner(*parts) for parts in zip(one, other, strict=True))  # type: ignore[assignment]
    return total


def _inner(one: Tensor | Factored, other: Tensor | Factored) -> Tensor:
    if isinstance(one, Factored) and isinstance(other, Factored):
        return ((one.left.T @ other.left) * (one.right @ other.right.T)).sum()  # <A B, C D> = <A' C, B D'>
    assert isinstance(one, Tensor) and isinstance(other, Tensor)
    return torch.dot(one, other)


def _sum(weights: Sequence[float], parts: Sequence[Tensor | Factored]) -> Tensor:
    factored = [part for part in parts if isinstance(part, Factored)]
    if factored:
        lefts = [_wide(part.left) * weight for weight, part in zip(weights, factored, strict=True)]
        return (torch.cat(lefts, dim=1) @ torch.cat([_wide(part.right) for part in factored])).to(factored[0].dtype)
    first, *others = map(dense, parts)
    total = _wide(first) * weights[0]
    for weight, part in zip(weights[1:], others, strict=True):
        total.add_(_wide(part), alpha=weight)
    return total.to(first.dtype)


def _wide(part: Tensor) -> Tensor:
    return part.to(torch.promote_types(part.dtype, torch.float32))


class GramianAggregator(nn.Module, ABC):
    """g = sum_t w_t g_t with w from the Gramian G = J J^T of the tasks' gradients, the rows of J.

    A task whose gradient is zero, such as one that the batch knows no label of, is left out of the problem and has the weight 0. On several
    ranks the Gramian is that of the whole batch, since the ranks' rows are different elements of one cut; so the weights are exact and equal.

    A subclass gives `solve`.
    """

    def forward(self, rows_TN: Tensor, gramian_TT: Tensor | None = None) -> Tensor:
        """[T, N] -> [N].

        Args:
            gramian_TT: if it is not that of these rows alone.
        """
        gramian_TT = gramian([[row_N] for row_N in rows_TN]) if gramian_TT is None else gramian_TT
        return self.weights(gramian_TT).to(rows_TN.dtype) @ rows_TN

    @torch.no_grad()
    def weights(self, gramian_TT: Tensor) -> Tensor:
        """The weight of each task, float64 [T]."""
        gramian_TT = gramian_TT.double()
        present = gramian_TT.diagonal() > 0
        weights_T = torch.zeros(len(gramian_TT), dtype=torch.float64)
        if present.any():
            weights_T[present] = self.solve(gramian_TT[present][:, present], present)
        return weights_T

    @abstractmethod
    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        """The weights of the tasks that are present, float64 [P]; present_T [T] bool says which they are."""
