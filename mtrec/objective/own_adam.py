"""The optimizer of a weighting's own few numbers, all of whose state is kept with the weighting's.

Shapes: T tasks.
"""

import torch
from torch import Tensor, nn

__all__ = ["OwnAdam"]


class OwnAdam(nn.Module):
    """Adam on T numbers, in float64, without weight decay; each number counts its own steps, so that an absent task's stays as it is.

    Source: Kingma and Ba, Adam, ICLR 2015, with its defaults .9, .999 and 1e-8.
    """

    first_T: Tensor
    second_T: Tensor
    count_T: Tensor

    def __init__(self, num_tasks: int, lr: float) -> None:
        super().__init__()
        self.lr = lr
        for name in ("first_T", "second_T", "count_T"):
            self.register_buffer(name, torch.zeros(num_tasks, dtype=torch.float64))

    def step(self, values_T: Tensor, gradient_T: Tensor, present_T: Tensor) -> None:
        """Move the values of the tasks that are present against their gradient, in place; others' gradients may be anything."""
        gradient_T = torch.where(present_T, gradient_T, 0.0)
        self.count_T += present_T
        self.first_T.copy_(torch.where(present_T, self.first_T.lerp(gradient_T, 0.1), self.first_T))
        self.second_T.copy_(torch.where(present_T, self.second_T.lerp(gradient_T**2, 0.001), self.second_T))
        first_T = self.first_T / (1 - 0.9**self.count_T)
        second_T = self.second_T / (1 - 0.999**self.count_T)
        values_T -= torch.where(present_T, self.lr * first_T / (second_T.sqrt() + 1e-8), 0.0)
