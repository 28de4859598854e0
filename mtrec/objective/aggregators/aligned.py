"""The gradients are made orthogonal and equally long before they are added up.

Shapes: P tasks present in the batch.
"""

from typing import Literal

import torch
from torch import Tensor

from mtrec.objective.gramian import GramianAggregator
from mtrec.schema import Strict

__all__ = ["Aligned", "Config"]


class Config(Strict):
    """Options of Aligned-MTL.

    Attributes:
        scale: the length that all get: the least singular value of the gradients, their median, or their root mean square.
    """

    scale: Literal["min", "median", "rmse"] = "min"


class Aligned(GramianAggregator):
    """g = sum_t w_t g_t with w = s V L^(-1/2) V^T 1, where G = V L V^T is the Gramian and s^2 the least, median or mean of L.

    The gradients as rows of J become s U V^T of its singular value decomposition: the nearest that do not conflict and are equally strong. It is
    the sum of these. Directions whose eigenvalue is at most T eps max(L), eps of float32, are noise and dropped.

    Cost: 1 backward pass. Source: Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023, whose upper-bound form, on
    shared activations, this is. The sum, as in their code; torchjd gives the mean.
    """

    paper = "Senushkin et al., Independent Component Alignment for Multi-Task Learning, CVPR 2023"

    def __init__(self, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.scale = config.scale

    def solve(self, gramian_PP: Tensor, present_T: Tensor) -> Tensor:
        values_P, vectors_PP = torch.linalg.eigh(gramian_PP)
        kept = values_P > values_P[-1] * len(values_P) * torch.finfo(torch.float32).eps
        values, vectors = values_P[kept], vectors_PP[:, kept]
        square = {"min": values[0], "median": values.median(), "rmse": values.mean()}[self.scale]
        weights_P: Tensor = vectors @ (vectors.sum(0) * (square / values).sqrt())
        return weights_P
