"""Where each part of a `FeatureBatch` lies among what was looked up; the same for the fused look-up of training and the plain one of an artifact.

A sequence that is not pooled in the look-up is looked up as one feature a position, with at most one value a row: the mean of one embedding is
that embedding. So it stays in the collection, and in the table, of all other features.

Shapes: B rows, N numbers, F fields that are given, G features looked up, S sequences, L positions, d embedding width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtrec.embeddings.positions import by_position
from mtrec.types import FeatureBatch, FeatureShape, IdField, SequenceField

__all__ = ["Layout"]


class Layout(nn.Module):
    """From the F id features of a batch to the G that are looked up, and from their embeddings to a `FeatureBatch`.

    Args:
        fields: the F id features.
        sequences: those that are looked up position by position, and what is aligned with them: all named as in `fields`.
        candidate: the field of the judged item, if there is one.

    Attributes:
        num_positions: for each of the F id features its positions; 0 if it is pooled.
        looked_up: the G features; a sequence is there once for each position.
        field_names: of the F fields that are given.
    """

    field_index: Tensor
    length_index: Tensor
    num_positions: list[int]
    first: list[int]
    sequence_first: list[int]
    sequence_length: list[int]
    aligned_first: list[list[int]]

    def __init__(self, fields: Sequence[IdField], sequences: Sequence[SequenceField] = (), candidate: str | None = None) -> None:
        super().__init__()
        place = {field.name: index for index, field in enumerate(fields)}
        positions = {name: sequence.max_length for sequence in sequences for name in (sequence.name, *sequence.aligned)}
        self.num_positions = [positions.get(field.name, 0) for field in fields]
        width_of = [max(1, each) for each in self.num_positions]
        self.first = [sum(width_of[:index]) for index in range(len(fields))]
        self.looked_up = [field for field, count in zip(fields, width_of, strict=True) for _ in range(count)]
        self.is_pooled = not sequences
        self.max_length = max((sequence.max_length for sequence in sequences), default=0)
        self.sequence_first = [self.first[place[sequence.name]] for sequence in sequences]
        self.sequence_length = [sequence.max_length for sequence in sequences]
        self.aligned_first = [[self.first[place[name]] for name in sequence.aligned] for sequence in sequences]
        self.candidate_first = -1 if candidate is None else self.first[place[candidate]]
        pooled = [first for first, count in zip(self.first, self.num_positions, strict=True) if count == 0]
        self.num_fields = len(pooled)
        self.field_names = [field.name for field, count in zip(fields, self.num_positions, strict=True) if count == 0]
        self.register_buffer("field_index", torch.tensor(pooled, dtype=torch.int64), persistent=False)
        self.register_buffer("length_index", torch.tensor([place[each.name] for each in sequences], dtype=torch.int64), persistent=False)

    def shape(self, num_numbers: int, width: int) -> FeatureShape:
        """Of the batches that `forward` gives."""
        num_sequences = len(self.sequence_first)
        return FeatureShape(
            num_numbers + self.num_fields * width, self.num_fields, num_sequences, width, self.max_length, has_candidate=self.candidate_first >= 0
        )

    def by_position(self, ids: Tensor, lengths_FB: Tensor) -> tuple[Tensor, Tensor]:
        """Ids and lengths [F, B] of a batch, feature-major -> those of what is looked up, lengths [G, B]."""
        if self.is_pooled:
            return ids, lengths_FB
        parts = [
            by_position(values, lengths, count) if count else (values, lengths.unsqueeze(0))
            for count, values, lengths in zip(self.num_positions, ids.split(lengths_FB.sum(1).tolist()), lengths_FB, strict=True)
        ]
        return torch.cat([values for values, _ in parts]), torch.cat([lengths for _, lengths in parts])

    def forward(self, numbers_BN: Tensor, looked_up_BGd: Tensor, lengths_FB: Tensor) -> FeatureBatch:
        num_rows, width = looked_up_BGd.size(0), looked_up_BGd.size(2)
        fields_BFd = looked_up_BGd if self.is_pooled else looked_up_BGd.index_select(1, self.field_index)
        sequences: list[Tensor] = []
        for place in range(len(self.sequence_first)):
            length = self.sequence_length[place]
            sequence_BLd = looked_up_BGd.narrow(1, self.sequence_first[place], length)
            for first in self.aligned_first[place]:
                sequence_BLd = sequence_BLd + looked_up_BGd.narrow(1, first, length)
            sequences.append(functional.pad(sequence_BLd, [0, 0, 0, self.max_length - length]))
        return FeatureBatch(
            flat=torch.cat([numbers_BN, fields_BFd.reshape(num_rows, self.num_fields * width)], 1),
            fields=fields_BFd,
            sequences=torch.stack(sequences, 1) if len(sequences) > 0 else numbers_BN.new_zeros([num_rows, 0, 0, width]),
            lengths=lengths_FB.index_select(0, self.length_index).t(),
            candidate=looked_up_BGd[:, self.candidate_first] if self.candidate_first >= 0 else numbers_BN.new_zeros([num_rows, 0]),
        )
