"""The encoder that hands on what it gets."""

import torch

from mtrec.model.encoders.concat import Concat, Config
from mtrec.types import FeatureBatch, FeatureShape


def test_hands_on_the_flat_part() -> None:
    encoder = Concat(FeatureShape(flat=7, num_fields=0, num_sequences=0, width=0), 3, Config())
    nothing = torch.zeros(4, 0)
    flat = torch.randn(4, 7)
    assert encoder(FeatureBatch(flat, nothing, nothing, nothing, nothing)) is flat
    assert (encoder.output_width, encoder.num_units, encoder.requires) == (7, 1, frozenset({"flat"}))
