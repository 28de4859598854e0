"""Sequences that were looked up position by position, each pooled into a field.

Shapes: B rows, D flat width, F fields, S sequences, L positions, d embedding width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtrec.types import FeatureBatch, FeatureShape

__all__ = ["SequencePooling"]


class SequencePooling(nn.Module):
    """Adds one field for each sequence, behind the others, to the fields and to the flat part; what follows sees no difference between them.

    Args:
        shape: of what comes in.
        poolings: for each of the S sequences a module (sequence [B, L, d], lengths [B], candidate [B, d]) -> [B, d].

    Attributes:
        shape: of what goes out, for the encoder.
    """

    def __init__(self, shape: FeatureShape, poolings: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(poolings) != shape.num_sequences:
            raise ValueError(f"There should be one pooling a sequence. Found {len(poolings)} for {shape.num_sequences}.")
        self.poolings = nn.ModuleList(poolings)
        self.shape = shape._replace(flat=shape.flat + len(poolings) * shape.width, num_fields=shape.num_fields + len(poolings))

    def forward(self, features: FeatureBatch) -> FeatureBatch:
        pooled: list[Tensor] = []
        for place, pooling in enumerate(self.poolings):
            pooled.append(pooling(features.sequences[:, place], features.lengths[:, place], features.candidate))
        pooled_BSd = torch.stack(pooled, dim=1)
        return FeatureBatch(
            flat=torch.cat([features.flat, pooled_BSd.flatten(1)], dim=1),
            fields=torch.cat([features.fields, pooled_BSd], dim=1),
            sequences=features.sequences,
            lengths=features.lengths,
            candidate=features.candidate,
        )
