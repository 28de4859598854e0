"""What is added up over the rows of a level, batch by batch and over all ranks, and the shares that come of it.

Shapes: B rows, R output units, E experts, H output width.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mtrec import ranks
from mtrec.evaluation.health.levels import View
from mtrec.evaluation.health.similarity import LEAST_ROWS, cka, hsic

__all__ = ["Findings", "Sums"]


class Findings(NamedTuple):
    """What was found of a level.

    Attributes:
        dead: [E], the share of units of an expert that are 0 on all rows.
        zero: [E], the share of zeros among the outputs of an expert.
        scale: [E], root of the mean square of the outputs of an expert.
        similarity: [E, E], see `cka`.
        weights: [R, E], mean weight that a unit's gate gives an expert; NaN for one that it does not see. None, as below, without gates.
        total: [R, E], the mean size of what a unit takes from an expert, its residual included.
        entropy: [R], mean entropy of a unit's weights over the logarithm of the number of experts that it sees; NaN where that is one.
    """

    dead: Tensor
    zero: Tensor
    scale: Tensor
    similarity: Tensor
    weights: Tensor | None
    total: Tensor | None
    entropy: Tensor | None


class Sums:
    """The sums of one level.

    Args:
        view: of some rows, for the shapes.
    """

    def __init__(self, view: View) -> None:
        _, num_experts, width = view.experts.shape
        self.num_rows = self.num_inputs = self.num_similar = 0
        self.active_EH = torch.zeros(num_experts, width, dtype=torch.float64)
        self.square_E = torch.zeros(num_experts, dtype=torch.float64)
        self.hsic_EE = torch.zeros(num_experts, num_experts, dtype=torch.float64)
        self.visible_RE = view.visible
        shape = (0, num_experts) if view.weights is None else view.weights.shape[1:]
        self.weights_RE, self.total_RE = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        self.entropy_R = torch.zeros(shape[0], dtype=torch.float64)

    def add(self, view: View) -> None:
        """Add the rows of a batch."""
        experts_BEH = view.experts
        self.num_rows += len(experts_BEH)
        self.active_EH += (experts_BEH != 0).sum(dim=0)
        self.square_E += experts_BEH.double().square().sum(dim=(0, 2))
        if len(experts_BEH) >= LEAST_ROWS:
            self.hsic_EE += hsic(experts_BEH)
            self.num_similar += 1
        if view.weights is not None:
            weights_BRE = view.weights.double()
            self.num_inputs += len(weights_BRE)
            self.weights_RE += weights_BRE.sum(dim=0)
            self.total_RE += (weights_BRE if view.residual is None else weights_BRE + view.residual).abs().sum(dim=0)
            share_BRE = weights_BRE / weights_BRE.sum(dim=2, keepdim=True)
            self.entropy_R += torch.special.entr(share_BRE).sum(dim=(0, 2))

    def findings(self) -> Findings:
        """Of all rows of all ranks; a collective."""
        counts = ranks.all_sum(torch.tensor([self.num_rows, self.num_inputs, self.num_similar], dtype=torch.float64)).clamp(min=1)
        for each in (self.active_EH, self.square_E, self.hsic_EE, self.weights_RE, self.total_RE, self.entropy_R):
            ranks.all_sum(each)
        num_rows, num_inputs, num_similar = counts.tolist()
        dead_E = (self.active_EH == 0).double().mean(dim=1)
        zero_E = 1 - self.active_EH.mean(dim=1) / num_rows
        scale_E = (self.square_E / num_rows / self.active_EH.shape[1]).sqrt()
        found = Findings(dead_E, zero_E, scale_E, cka(self.hsic_EE / num_similar), None, None, None)
        if self.visible_RE is None:
            return found
        most_R = self.visible_RE.sum(dim=1).double().log()
        entropy_R = torch.where(most_R > 0, self.entropy_R / num_inputs / most_R, torch.nan)
        weights_RE = torch.where(self.visible_RE, self.weights_RE / num_inputs, torch.nan)
        return found._replace(weights=weights_RE, total=self.total_RE / num_inputs, entropy=entropy_R)
