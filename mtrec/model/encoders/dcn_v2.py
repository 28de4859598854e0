"""All features crossed with each other, layer by layer, with an MLP beside or behind.

Shapes: B rows, D flat width, r rank.
"""

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from mtrec.model.nn.mlp import MLP, num_mlp_parameters
from mtrec.schema import Strict
from mtrec.types import FeatureBatch, FeatureShape

__all__ = ["DCNV2", "Config"]


class Config(Strict):
    """Options of DCN-V2.

    Attributes:
        num_layers: cross layers; none leaves the features as they stand.
        rank: r of the kernels W = U V^T, U and V [D, r]; null for full kernels.
        hidden: sizes of the layers of the deep part; none for no deep part.
        structure: where the deep part stands, which reads the features (parallel; both results side by side) or what the cross layers give
            (stacked; its result alone).
        dropout: after each layer of the deep part, in training.
    """

    num_layers: NonNegativeInt = 2
    rank: PositiveInt | None = None
    hidden: list[PositiveInt] = Field(default=[])
    structure: Literal["parallel", "stacked"] = "parallel"
    dropout: NonNegativeFloat = Field(default=0.0, lt=1)


class DCNV2(nn.Module):
    """x_{l+1} = x_0 * (W_l x_l + b_l) + x_l, so that l layers hold the products of up to l + 1 features.

    Kernels start Xavier normal, biases as 0.

    Parameters: num_layers (D^2 + D), or with a rank num_layers (2 D r + D); and P(D, hidden).
    Source: Wang et al., DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems, WWW 2021. Its
    mixture of low-rank kernels is not here.
    """

    paper = "Wang et al., DCN V2: Improved Deep & Cross Network and Practical Lessons for Web-scale Learning to Rank Systems, WWW 2021"
    requires = frozenset({"flat"})
    gives = "flat"
    num_units: int = 1

    def __init__(self, shape: FeatureShape, num_tasks: int, config: Config) -> None:
        super().__init__()
        self.crosses = nn.ModuleList(_Cross(shape.flat, config.rank) for _ in range(config.num_layers))
        self.deep = MLP(shape.flat, config.hidden, config.dropout)
        self.is_parallel = bool(config.hidden) and config.structure == "parallel"
        self.output_width = self.deep.output_width + (shape.flat if self.is_parallel else 0)

    def forward(self, features: FeatureBatch) -> Tensor:
        """-> [B, D], [B, D + hidden[-1]] in parallel, or [B, hidden[-1]] stacked"""
        x = features.flat
        for cross in self.crosses:
            x = cross(features.flat, x)
        if self.is_parallel:
            return torch.cat([x, self.deep(features.flat)], dim=1)
        deep: Tensor = self.deep(x)
        return deep

    @staticmethod
    def num_parameters(shape: FeatureShape, num_tasks: int, config: Config) -> int:
        kernel = shape.flat**2 if config.rank is None else 2 * shape.flat * config.rank
        return config.num_layers * (kernel + shape.flat) + num_mlp_parameters(shape.flat, config.hidden)


class _Cross(nn.Module):
    """x_0 * (W x + b) + x, with W = U V^T where a rank is given."""

    def __init__(self, width: int, rank: int | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width, width if rank is None else rank))
        self.narrow = nn.Parameter(torch.empty(rank, width)) if rank is not None else None
        self.bias = nn.Parameter(torch.zeros(width))
        for kernel in (self.weight, self.narrow):
            if kernel is not None:
                nn.init.xavier_normal_(kernel)

    def forward(self, first: Tensor, x: Tensor) -> Tensor:
        low = functional.linear(x, self.narrow) if self.narrow is not None else x
        return first * functional.linear(low, self.weight, self.bias) + x
