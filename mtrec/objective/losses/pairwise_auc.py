"""Positives above negatives, pair by pair, beside cross-entropy.

Shapes: B rows, P positives, N negatives.
"""

import math

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from mtrec.schema import Strict

__all__ = ["Config", "PairwiseAUC"]


class Config(Strict):
    """Options of the pairwise loss.

    Attributes:
        bce: weight of cross-entropy beside the pairs, which alone leave open where the scores lie.
        max_pairs: of a batch; of more, those of its first rows count, which are rows by chance.
    """

    bce: PositiveFloat = 1.0
    max_pairs: PositiveInt = 1_000_000


class PairwiseAUC(nn.Module):
    """bce times cross-entropy, and the mean over pairs (i, j) of a positive and a negative of log(1 + exp(s_j - s_i)), with logits s.

    The mean over pairs, over log 2, bounds 1 - AUC from above. Half of it is shared out to the positives and half to the negatives, so that the mean
    over the known rows is the mean over pairs; where rows have weights, a pair has the mean of its two. Pairs are those of one batch, and of one
    rank. A batch without positives or negatives has cross-entropy alone.

    Source: the pairwise logistic loss as in Gao and Zhou, On the Consistency of AUC Pairwise Optimization, IJCAI 2015.
    """

    kinds = frozenset({"binary"})
    reads_mask = True

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.bce, self.max_pairs = config.bce, config.max_pairs

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B], [B], [B] bool, where the label is known -> [B]; anything where it is not."""
        known = torch.ones_like(labels, dtype=torch.bool) if mask is None else mask
        entropy = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        places_P, places_N = self._kept((known & (labels == 1)).nonzero().flatten(), (known & (labels != 1)).nonzero().flatten())
        if not (len(places_P) and len(places_N)):
            return self.bce * entropy
        pairs_PN = functional.softplus(logits[places_N].unsqueeze(0) - logits[places_P].unsqueeze(1))
        half = known.sum() / 2
        shares = torch.cat([pairs_PN.mean(1) * half / len(places_P), pairs_PN.mean(0) * half / len(places_N)])
        return (self.bce * entropy).index_add(0, torch.cat([places_P, places_N]), shares)

    def _kept(self, places_P: Tensor, places_N: Tensor) -> tuple[Tensor, Tensor]:
        few = min(len(places_P), len(places_N), math.isqrt(self.max_pairs))
        many = self.max_pairs // max(few, 1)
        if len(places_P) <= len(places_N):
            return places_P[:few], places_N[:many]
        return places_P[:many], places_N[:few]
