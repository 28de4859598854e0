"""A token for each feature."""

import pytest
import torch
from torch.testing import assert_close

from mtrec.errors import ConfigError
from mtrec.model.encoders.tokens import Config, Tokens
from mtrec.testing.encoder_case import build_encoder, features
from mtrec.types import FeatureShape


def test_fields_stand_as_they_are_and_numbers_are_scaled_and_shifted() -> None:
    encoder, batch = build_encoder(Tokens, Config()), features(Tokens, 5)
    torch.nn.init.normal_(encoder.shift)
    x = encoder(batch)
    assert (encoder.num_units, encoder.output_width, x.shape) == (7, 8, (5, 7, 8))
    assert torch.equal(x[:, :4], batch.fields)
    for row in range(5):
        for number in range(3):
            assert_close(x[row, 4 + number], batch.flat[row, number] * encoder.scale[number] + encoder.shift[number])


def test_no_numbers_are_no_tokens() -> None:
    encoder = Tokens(FeatureShape(8, 2, 0, 4), 3, Config())
    assert encoder.num_units == 2 and sum(parameter.numel() for parameter in encoder.parameters()) == 0


def test_numbers_alone_are_refused() -> None:
    with pytest.raises(ConfigError, match="Expected: an id feature or a pooled sequence"):
        Tokens(FeatureShape(3, 0, 0, 0), 3, Config())
