"""From logits to probabilities that hold on rows the model was not trained on: a rising map for each task that has one.

Shapes: B rows, T tasks, K knots.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["Calibration", "Isotonic", "Platt", "probability_between"]


class Platt(NamedTuple):
    """p = sigmoid(slope z + offset), with a slope above 0 (Platt 1999, Advances in Large Margin Classifiers)."""

    slope: float
    offset: float


class Isotonic(NamedTuple):
    """p = the line through knots, `logits` and `probabilities` [K] both rising, K at least 2; constant before the first and behind the last."""

    logits: list[float]
    probabilities: list[float]


class Calibration(nn.Module):
    """The maps of all tasks; a task without one keeps sigmoid(z).

    Args:
        num_tasks: T.
        fitted: by the position of the task.
    """

    slope_T: Tensor
    offset_T: Tensor
    knot_logits: Tensor
    knot_probabilities: Tensor
    first_knot: list[int]
    has_knots: bool

    def __init__(self, num_tasks: int, fitted: Mapping[int, Platt | Isotonic] | None = None) -> None:
        super().__init__()
        maps = [(fitted or {}).get(task) for task in range(num_tasks)]
        platt = [each if isinstance(each, Platt) else Platt(1.0, 0.0) for each in maps]
        knots = [each if isinstance(each, Isotonic) else Isotonic([], []) for each in maps]
        self.first_knot = [sum(len(each.logits) for each in knots[:task]) for task in range(num_tasks + 1)]
        self.has_knots = self.first_knot[-1] > 0
        columns = {
            "slope_T": [each.slope for each in platt],
            "offset_T": [each.offset for each in platt],
            "knot_logits": [value for each in knots for value in each.logits],
            "knot_probabilities": [value for each in knots for value in each.probabilities],
        }
        for name, values in columns.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32), persistent=False)

    def logits(self, z_BT: Tensor) -> Tensor:
        """Logits as Platt's maps change them, [B, T]; all others as they came, to the last bit."""
        return self.slope_T * z_BT + self.offset_T

    def forward(self, own_BT: Tensor, z_BT: Tensor) -> Tensor:
        """What the tasks serve, with the probabilities of tasks that have knots put in place. [B, T]"""
        if not self.has_knots:
            return own_BT
        columns: list[Tensor] = []
        for task in range(own_BT.size(1)):
            first, end = self.first_knot[task], self.first_knot[task + 1]
            column_B = own_BT[:, task]
            if end > first:
                column_B = probability_between(z_BT[:, task].contiguous(), self.knot_logits[first:end], self.knot_probabilities[first:end])
            columns.append(column_B)
        return torch.stack(columns, dim=1)

    def is_isotonic(self, task: int) -> bool:
        return self.first_knot[task + 1] > self.first_knot[task]


def probability_between(z_B: Tensor, knot_logits_K: Tensor, knot_probabilities_K: Tensor) -> Tensor:
    """The height of the line at each z, [B]; it never falls, in float32 too."""
    inside_B = torch.minimum(torch.maximum(z_B, knot_logits_K[0]), knot_logits_K[-1])
    above_B = torch.searchsorted(knot_logits_K, inside_B).clamp(1, knot_logits_K.size(0) - 1)
    left_B, low_B, high_B = knot_logits_K[above_B - 1], knot_probabilities_K[above_B - 1], knot_probabilities_K[above_B]
    share_B = (inside_B - left_B) / (knot_logits_K[above_B] - left_B)
    return torch.minimum(low_B + share_B * (high_B - low_B), high_B)  # Rounding could lift it over the knot.
