"""An encoder built for a check, and features for it."""

from typing import Any

import torch
from pydantic import BaseModel
from torch import nn

from mtrec.types import FeatureBatch, FeatureShape

__all__ = ["NUM_TASKS", "build_encoder", "features", "shape_for"]

NUM_TASKS = 3
NUM_NUMBERS, NUM_FIELDS, NUM_SEQUENCES, MAX_LENGTH, EMBEDDING_DIM = 3, 4, 2, 5, 8


def shape_for(encoder: type[Any], num_tasks: int = NUM_TASKS) -> FeatureShape:
    """Three numbers, four fields, two sequences and a candidate; embeddings as wide as the encoder wants them."""
    width = encoder.table_width(EMBEDDING_DIM, num_tasks) if hasattr(encoder, "table_width") else EMBEDDING_DIM
    return FeatureShape(NUM_NUMBERS + NUM_FIELDS * width, NUM_FIELDS, NUM_SEQUENCES, width, MAX_LENGTH, has_candidate=True)


def build_encoder(encoder: type[Any], config: BaseModel, *, num_tasks: int = NUM_TASKS, seed: int = 0) -> nn.Module:
    """The encoder, started from a seed, the caller's random state untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: nn.Module = encoder(shape_for(encoder, num_tasks), num_tasks, config)
    return model


def features(encoder: type[Any], num_rows: int, *, num_tasks: int = NUM_TASKS, seed: int = 0) -> FeatureBatch:
    """Standard normal features; sequences of all lengths from none to the longest."""
    shape, generator = shape_for(encoder, num_tasks), torch.Generator().manual_seed(seed)
    fields = torch.randn(num_rows, shape.num_fields, shape.width, generator=generator)
    numbers = torch.randn(num_rows, NUM_NUMBERS, generator=generator)
    lengths = torch.randint(MAX_LENGTH + 1, (num_rows, NUM_SEQUENCES), generator=generator)
    is_there = torch.arange(MAX_LENGTH) < lengths.unsqueeze(2)
    sequences = torch.randn(num_rows, NUM_SEQUENCES, MAX_LENGTH, shape.width, generator=generator) * is_there.unsqueeze(3)
    return FeatureBatch(torch.cat([numbers, fields.flatten(1)], dim=1), fields, sequences, lengths, fields[:, 0].clone())
