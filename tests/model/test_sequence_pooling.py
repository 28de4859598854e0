"""Pooled sequences become fields behind the others."""

import pytest
import torch

from mtrec.model.poolings.last import Config as LastConfig
from mtrec.model.poolings.last import Last
from mtrec.model.poolings.mean import Config as MeanConfig
from mtrec.model.poolings.mean import Mean
from mtrec.model.sequence_pooling import SequencePooling
from mtrec.types import FeatureBatch, FeatureShape

SHAPE = FeatureShape(2 + 3 * 4, 3, 2, 4, max_length=3)


def test_each_sequence_is_a_field_and_a_part_of_flat() -> None:
    fields, sequences = torch.randn(5, 3, 4), torch.randn(5, 2, 3, 4)
    numbers, lengths = torch.randn(5, 2), torch.tensor([[3, 1], [2, 2], [0, 3], [1, 0], [0, 0]])
    given = FeatureBatch(torch.cat([numbers, fields.flatten(1)], 1), fields, sequences, lengths, torch.zeros(5, 0))
    mean, last = Mean(4, MeanConfig()), Last(4, LastConfig())
    pooling = SequencePooling(SHAPE, [mean, last])
    found = pooling(given)
    expected = torch.stack([mean(sequences[:, 0], lengths[:, 0], given.candidate), last(sequences[:, 1], lengths[:, 1], given.candidate)], 1)
    assert torch.equal(found.fields, torch.cat([fields, expected], 1))
    assert torch.equal(found.flat, torch.cat([numbers, found.fields.flatten(1)], 1))
    assert found.sequences is sequences and found.lengths is lengths and found.candidate is given.candidate
    assert pooling.shape == SHAPE._replace(flat=2 + 5 * 4, num_fields=5)


def test_each_sequence_needs_a_pooling() -> None:
    with pytest.raises(ValueError, match="one pooling a sequence. Found 1 for 2"):
        SequencePooling(SHAPE, [Mean(4, MeanConfig())])
