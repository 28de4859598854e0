"""The tensors that pass between the parts, as plain named tuples that TorchScript can carry.

Letters of shapes: B rows, N numbers, F id features, T tasks, D flat width, S sequences, L sequence length, d embedding width, H output width.
"""

from typing import NamedTuple

from torch import Tensor

__all__ = ["Batch", "Cursor", "FeatureBatch", "FeatureShape", "IdField", "Signals"]


class Cursor(NamedTuple):
    """Where a batch starts in the seeded order of its epoch: enough to name the batch and to go on after it."""

    epoch: int
    row: int


class Batch(NamedTuple):
    """Rows as the reader yields them: encoded inputs, labels, and what weighs them.

    Attributes:
        numbers: [B, N] float32, transformed.
        ids: values [sum of lengths] int64, feature-major (all rows of the first feature, then of the second).
        id_lengths: [F, B] int64, how many values each row has of each feature; 0 where the input is null or empty.
        labels: [B, T] float32; 0 where unknown.
        label_mask: [B, T] bool; True where the label is known.
        weight: [B] float32, the weight of the row.
        row: [B] int64, the row's place in the log: its name in messages and predictions.
        cursor: where the batch starts.
    """

    numbers: Tensor
    ids: Tensor
    id_lengths: Tensor
    labels: Tensor
    label_mask: Tensor
    weight: Tensor
    row: Tensor
    cursor: Cursor


class FeatureBatch(NamedTuple):
    """What the embeddings hand to the encoder; an absent part has width zero.

    Attributes:
        flat: [B, D] numbers and pooled embeddings of all features, side by side.
        fields: [B, F, d] the pooled embedding of each id feature, where all have one width.
        sequences: [B, S, L, d] unpooled embeddings of the sequences, zero beyond their length.
        lengths: [B, S] lengths of the sequences.
        candidate: [B, d] the embedding of the judged item.
    """

    flat: Tensor
    fields: Tensor
    sequences: Tensor
    lengths: Tensor
    candidate: Tensor


class Signals(NamedTuple):
    """What a weighting may read of one step; parts that it does not declare in `reads` may hold anything.

    Attributes:
        step: number of optimizer steps taken before this one.
        losses: [T] weighted mean loss of each task over its known rows, detached; NaN where the batch knows none.
        per_sample: [B, T] loss of each row, detached; 0 where unknown.
        mask: [B, T] bool, where the label is known.
    """

    step: int
    losses: Tensor
    per_sample: Tensor
    mask: Tensor


class IdField(NamedTuple):
    """One id feature of the model: its name, and the embedding table that it looks up.

    Fields that share a table stand side by side in every list of fields.
    """

    name: str
    table: str
    num_rows: int


class FeatureShape(NamedTuple):
    """The widths of a `FeatureBatch`, known before its tensors.

    Attributes:
        flat: D, width of the flat part.
        num_fields: F, number of id features; 0 where they differ in width.
        num_sequences: S.
        width: d, embedding width of fields, sequences and candidate; 0 where there are none.
    """

    flat: int
    num_fields: int
    num_sequences: int
    width: int
