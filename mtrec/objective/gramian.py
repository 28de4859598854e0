"""What most aggregators share: the combined gradient is a weighted sum of the tasks' gradients, and the weights depend on their inner products.

Shapes: T tasks, P tasks present in the batch, N elements of the cut.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtrec.objective.cut import Gradients

__all__ = ["GramianAggregator", "gramian", "weighted_sum"]


def gramian(gradients: Gradients) -> Tensor:
    """The inner products of the tasks' gradients, [T, T]; float32 or wider."""
    flat = [[_wide(part).reshape(-1) for part in own] for own in gradients]
    products_TT = flat[0][0].new_zeros(len(flat), len(flat))
    # Product by product: a product of matrices with so few endless rows is slower, and adds up without care for rounding.
    for i, j in itertools.combinations_with_replacement(range(len(flat)), 2):
        products_TT[i, j] = products_TT[j, i] = sum(torch.dot(one, other) for one, other in zip(flat[i], flat[j], strict=True))
    return products_TT


def weighted_sum(weights: Sequence[float], gradients: Gradients) -> list[Tensor]:
    """sum_t w_t g_t, a tensor for each of the shared ones."""
    found = []
    for parts in zip(*gradients, strict=True):
        total = _wide(parts[0]) * weights[0]
        for weight, part in zip(weights[1:], parts[1:], strict=True):
            total.add_(_wide(part), alpha=weight)
        found.append(total.to(parts[0].dtype))
    return found


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
