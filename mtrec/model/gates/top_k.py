"""Each row takes the k experts that suit it best; a bias that no gradient reaches keeps all of them in use.

Shapes: B rows, R output units, E experts.
"""

from typing import Self

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt, model_validator
from torch import Tensor

from mtrec import ranks
from mtrec.errors import ConfigError
from mtrec.model.nn.gate import GateOptions, Gates

__all__ = ["Config", "TopK"]


class Config(GateOptions):
    """Options of top-k gates.

    Attributes:
        k: experts that each row takes for each output unit.
        normalise: whether their weights are divided by their sum.
        rate: how far the bias of an expert moves in a step; 0 for no balancing.
    """

    k: PositiveInt = 2
    normalise: bool = True
    rate: NonNegativeFloat = Field(default=0.001, le=1)

    @model_validator(mode="after")
    def _has_a_gradient(self) -> Self:
        if self.k == 1 and self.normalise:
            raise ValueError("one normalised weight is always 1, so that the gate never learns: take normalise: false, or a larger k")
        return self


class TopK(Gates):
    """Sparse gates, balanced without a loss of its own; the experts that are not chosen have weight and gradient 0.

        s_r = sigmoid(W_r g_r(x_r) + b_r)                   [E], in float32 or wider
        a_re = s_re if e is among the k largest of s_r + c_r, else 0; with `normalise`, divided by their sum

    After each optimizer step, with n_re the rows of all ranks that chose e for r: c_r += rate (v_r - mean v_r), v_re = sign(mean_e n_re - n_re).
    An expert chosen too seldom thus becomes easier to choose, for each output unit (task) apart, so that a rare task starves none. c decides
    who is chosen and never enters the weight. Taking out the mean changes no choice and keeps c from drifting. Experts are computed for all
    rows and weighed by 0: at the sizes of rankers that is no slower than gathering rows, and nothing has a shape that depends on data.

    Parameters: as softmax gates; `balance_RE` (c) is a buffer, part of the state, and averaged where weights are. Between equal scores the
    choice is torch's. Source: Wang et al., Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts, 2024 (arXiv 2408.15664), for
    language models, with one router; here one for each output unit.

    Raises:
        ConfigError: if an output unit sees fewer than k experts.
    """

    paper = "Wang et al., Auxiliary-Loss-Free Load Balancing Strategy for Mixture-of-Experts, arXiv 2408.15664"
    visible_RE: Tensor
    balance_RE: Tensor
    count_RE: Tensor

    def __init__(self, width: int, source: list[int], visibility: Tensor, config: Config) -> None:
        super().__init__(width, source, visibility, config)
        fewest = int(visibility.sum(dim=1).min())
        if config.k > fewest:
            raise ConfigError("Top-k gates need k experts to choose from", where="gate.k", found=config.k, expected=f"at most {fewest}")
        self.k, self.normalise, self.rate = config.k, config.normalise, config.rate
        self.register_buffer("visible_RE", visibility.clone(), persistent=False)
        self.register_buffer("balance_RE", torch.zeros(visibility.shape))
        # What was chosen since the last step: zero whenever a checkpoint is written.
        self.register_buffer("count_RE", torch.zeros(visibility.shape, dtype=torch.int64), persistent=False)

    def weigh(self, logits: Tensor, start: int, stop: int) -> Tensor:
        scores = torch.sigmoid(logits.to(torch.promote_types(logits.dtype, torch.float32)))
        suits = (scores.detach() + self.balance_RE[start:stop]).masked_fill(~self.visible_RE[start:stop], float("-inf"))
        chosen = torch.zeros_like(suits, dtype=torch.bool).scatter(2, torch.topk(suits, self.k, dim=2).indices, True)
        if self.training:
            self.count_RE[start:stop] += chosen.sum(dim=0)
        weights = scores.masked_fill(~chosen, 0.0)
        return weights / (weights.sum(dim=2, keepdim=True) + 1e-20) if self.normalise else weights

    @torch.no_grad()
    def after_step(self) -> None:
        """Move the balance towards even use, and forget the counts; a collective when there is more than one rank."""
        count_RE = ranks.all_sum(self.count_RE).double()
        num_visible_R1 = self.visible_RE.sum(dim=1, keepdim=True)
        # Closed edges count nothing, so that sums over a row are sums over what it sees.
        push_RE = torch.sign(count_RE.sum(dim=1, keepdim=True) / num_visible_R1 - count_RE) * self.visible_RE
        push_RE = (push_RE - push_RE.sum(dim=1, keepdim=True) / num_visible_R1) * self.visible_RE
        self.balance_RE += self.rate * push_RE
        self.count_RE.zero_()
