"""Each task reads the behaviour sequences with interests of its own, and weighs all fields for itself.

Shapes: B rows, N numbers, T tasks, F fields, S sequences, L positions, d embedding width.
"""

from typing import Literal

import torch
from pydantic import Field, NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from mtrec.errors import ConfigError
from mtrec.model.nn.interests import TaskInterests, num_interest_parameters
from mtrec.model.nn.refinement import TaskRefinement, num_refinement_parameters
from mtrec.schema import Strict
from mtrec.types import FeatureBatch, FeatureShape

__all__ = ["Config", "Dtrn"]


class Tim(Strict):
    """The transformer of the interests.

    Attributes:
        layers, heads: of the transformer; the embedding width is a multiple of `heads`.
        feed_forward: hidden width of its feed-forward net.
        pooling: target_attention asks with the judged item (`roles.item`, which must be among the ids); mean asks nothing.
        position: whether an element knows its place, counted from the newest.
    """

    layers: PositiveInt = 1
    heads: PositiveInt = 2
    feed_forward: PositiveInt = 64
    pooling: Literal["target_attention", "mean"] = "target_attention"
    position: bool = True


class Hyper(Strict):
    """The hypernetwork.

    Attributes:
        dim: width of the embeddings of tasks and behaviours that it reads.
        hidden: width of its hidden layer.
    """

    dim: PositiveInt = 8
    hidden: PositiveInt = 32


class Trm(Strict):
    """The refinement.

    Attributes:
        squeeze: what it reads: all embeddings side by side, or the mean of each field.
        granularity: one weight a field, or one for each element of its embedding.
        reduction: its hidden width is the number of fields over this, rounded up.
    """

    squeeze: Literal["concat", "mean"] = "concat"
    granularity: Literal["field", "element"] = "field"
    reduction: PositiveInt = 2


class Config(Strict):
    """Options of DTRN: the transformer of the interests, its hypernetwork, the refinement, and dropout inside the transformer, in training."""

    tim: Tim = Tim()
    hyper: Hyper = Hyper()
    trm: Trm = Trm()
    dropout: NonNegativeFloat = Field(default=0.0, lt=1)


class Dtrn(nn.Module):
    """Deep task-specific bottom representation network: an input for each task, for any architecture that takes one a task.

        i_{t,s} = TIM(sequence s, task t)                         `TaskInterests`: one transformer, its layer norms made by a hypernetwork
        Z_t     = [x_1 .. x_F ; i_{t,1} .. i_{t,S}]               fields and interests, [F + S, d]
        x_t     = [numbers ; Z_t * a_t]                           `TaskRefinement`: weights a_t in (0, 2); numbers are not weighed

    The sequences have no field besides: their `pooling` is not used. At the start all tasks read alike, through one plain transformer.

    Parameters: those of `TaskInterests` and of `TaskRefinement` on F + S fields.
    Source: Liu et al., Deep Task-specific Bottom Representation Network for Multi-Task Recommendation, CIKM 2023. Its public text leaves open
    the pooling, positions and the form of the refinement: those are options here.
    """

    paper = "Liu et al., Deep Task-specific Bottom Representation Network for Multi-Task Recommendation, CIKM 2023"
    requires = frozenset({"flat", "fields", "sequences", "lengths", "candidate"})
    gives = "units"

    def __init__(self, shape: FeatureShape, num_tasks: int, config: Config) -> None:
        super().__init__()
        _check(shape, config)
        tim, num_fields = config.tim, shape.num_fields + shape.num_sequences
        self.num_units = self.num_tasks = num_tasks
        self.num_numbers = shape.flat - shape.num_fields * shape.width
        self.output_width = self.num_numbers + num_fields * shape.width
        self.interests = TaskInterests(
            shape.width,
            num_tasks,
            shape.num_sequences,
            shape.max_length,
            num_layers=tim.layers,
            num_heads=tim.heads,
            feed_forward=tim.feed_forward,
            pooling=tim.pooling,
            position=tim.position,
            hyper_width=config.hyper.dim,
            hyper_hidden=config.hyper.hidden,
            dropout=config.dropout,
        )
        hidden = -(-num_fields // config.trm.reduction)
        self.refinement = TaskRefinement(
            num_tasks, num_fields, shape.width, squeeze=config.trm.squeeze, granularity=config.trm.granularity, hidden=hidden
        )

    def forward(self, features: FeatureBatch) -> Tensor:
        """-> [B, T, N + (F + S) d]"""
        interests_BTSd = self.interests(features.sequences, features.lengths, features.candidate)
        fields_BTFd = features.fields.unsqueeze(1).expand(-1, self.num_tasks, -1, -1)
        refined_BTFd = self.refinement(torch.cat([fields_BTFd, interests_BTSd], dim=2))
        numbers_BTN = features.flat[:, : self.num_numbers].unsqueeze(1).expand(-1, self.num_tasks, -1)
        return torch.cat([numbers_BTN, refined_BTFd.flatten(2)], dim=2)

    @staticmethod
    def num_parameters(shape: FeatureShape, num_tasks: int, config: Config) -> int:
        width, tim, trm = shape.width, config.tim, config.trm
        interests = num_interest_parameters(
            width, num_tasks, shape.num_sequences, tim.layers, tim.feed_forward, config.hyper.dim, config.hyper.hidden
        )
        interests += shape.max_length * width * tim.position + width * (width + 1) * (tim.pooling == "target_attention")
        num_fields = shape.num_fields + shape.num_sequences
        squeezed = num_fields * (width if trm.squeeze == "concat" else 1)
        excited = num_fields * (width if trm.granularity == "element" else 1)
        return interests + num_refinement_parameters(num_tasks, squeezed, excited, -(-num_fields // trm.reduction))


def _check(shape: FeatureShape, config: Config) -> None:
    where = "model.encoder"
    if shape.num_sequences == 0:
        raise ConfigError("dtrn reads behaviour sequences, and there are none", where=where, do="Declare features.sequences, or take encoder concat.")
    if config.tim.pooling == "target_attention" and not shape.has_candidate:
        do = "Name the item's column in log.roles.item and list it in features.ids, or set tim.pooling to mean."
        raise ConfigError("dtrn pools by the judged item, which is not among the ids", where=where, do=do)
    if shape.width % config.tim.heads:
        found = f"model.embedding_dim {shape.width}, tim.heads {config.tim.heads}"
        raise ConfigError("The embedding width of dtrn is to be a multiple of its heads", where=where, found=found)
