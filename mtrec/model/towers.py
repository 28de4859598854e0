"""The heads: one small MLP a task, from the architecture's output to a logit.

Shapes: B rows, T tasks, H input width.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from mtrec.model.nn.mlp import ParallelLinear, ParallelMLP

__all__ = ["Towers"]


class Towers(nn.Module):
    """logit_t = w_t MLP_t(z_t) + b_t, all T towers of one shape and computed side by side.

    Parameters: T (P(H, hidden) + last + 1), where last is hidden[-1], or H without hidden layers.
    """

    def __init__(self, width: int, num_tasks: int, hidden: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = ParallelMLP(num_tasks, width, hidden, dropout)
        self.logits = ParallelLinear(num_tasks, self.hidden.output_width, 1)

    def forward(self, z_BTH: Tensor) -> Tensor:
        """-> logits [B, T]"""
        logits_TB1: Tensor = self.logits(self.hidden(z_BTH.transpose(0, 1)))
        return logits_TB1.squeeze(2).transpose(0, 1)

    def task(self, z_BH: Tensor, task: int) -> Tensor:
        """The logit of one task, [B], computed alone; not for the script."""
        return self.logits.shared(self.hidden.network(z_BH, task), task, task + 1).flatten()
