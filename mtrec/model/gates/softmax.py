"""Every expert that a unit may see, weighed by a softmax.

Shapes: B rows, R output units, E experts.
"""

import torch
from torch import Tensor

from mtrec.model.nn.gate import GateOptions, Gates

__all__ = ["Config", "Softmax"]


class Config(GateOptions):
    """Options of softmax gates: `hidden`, sizes of the hidden layers of each."""


class Softmax(Gates):
    """a_r = softmax over the visible experts of (W_r g_r(x_r) + b_r): each row sums to 1.

    Parameters: R P(D, hidden) + (d + 1) G, with d = hidden[-1], or D, and G visible experts over all units.
    Source: Jacobs et al., Adaptive Mixtures of Local Experts, Neural Computation 1991. Public code differs in biases and hidden layers: here
    there is a bias, no hidden layer unless asked for, and no normalisation over the batch.
    """

    paper = "Jacobs et al., Adaptive Mixtures of Local Experts, Neural Computation 1991"

    def weigh(self, logits: Tensor, start: int, stop: int) -> Tensor:
        return torch.softmax(logits, dim=-1, dtype=torch.promote_types(logits.dtype, torch.float32))
