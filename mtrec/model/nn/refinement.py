"""How much each task makes of each field.

Shapes: B rows, T tasks, F fields, d width, r hidden width.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from mtrec.model.nn.mlp import ParallelLinear

__all__ = ["TaskRefinement", "num_refinement_parameters"]


def num_refinement_parameters(num_tasks: int, width: int, output_width: int, hidden: int) -> int:
    """T ((I + 1) r + (r + 1) O): two linear layers a task.

    >>> num_refinement_parameters(2, 3, 4, 5)
    88
    """
    return num_tasks * ((width + 1) * hidden + (hidden + 1) * output_width)


class TaskRefinement(nn.Module):
    """out_t = z_t * a_t with a_t = 2 sigmoid(W2_t relu(W1_t squeeze(z_t) + c1_t) + c2_t), a net of its own for each task.

    W2 and c2 start at zero, so that it starts as the identity. Parameters: those of `num_refinement_parameters`.

    Args:
        num_fields, width: F and d.
        squeeze: what the net reads: all fields side by side ("concat", F d wide), or the mean of each ("mean", F wide).
        granularity: one weight a field, or one for each element of it.
        hidden: r.
    """

    def __init__(
        self,
        num_tasks: int,
        num_fields: int,
        width: int,
        *,
        squeeze: Literal["concat", "mean"],
        granularity: Literal["field", "element"],
        hidden: int,
    ) -> None:
        super().__init__()
        self.takes_mean = squeeze == "mean"
        self.num_fields, self.weights_of_field = num_fields, width if granularity == "element" else 1
        self.squeezed = ParallelLinear(num_tasks, num_fields if self.takes_mean else num_fields * width, hidden)
        self.excited = ParallelLinear(num_tasks, hidden, num_fields * self.weights_of_field)
        nn.init.zeros_(self.excited.weight)

    def forward(self, z_BTFd: Tensor) -> Tensor:
        """-> [B, T, F, d]"""
        squeezed_BTi = z_BTFd.mean(dim=3) if self.takes_mean else z_BTFd.flatten(2)
        excited_TBo = self.excited(torch.relu(self.squeezed(squeezed_BTi.transpose(0, 1))))
        weights_BTFw: Tensor = 2 * torch.sigmoid(excited_TBo.transpose(0, 1)).unflatten(2, [self.num_fields, self.weights_of_field])
        return z_BTFd * weights_BTFw
