"""Views of one table: which columns a view has, and whom a gradient of it reaches."""

import pytest
import torch

from mtrec.model.encoders.stem import Config, Stem
from mtrec.testing.encoder_case import build_encoder, features, shape_for
from mtrec.types import FeatureShape

T, N, F, D = 3, 3, 4, 8


def test_each_view_has_its_own_columns_of_every_field_and_all_numbers() -> None:
    encoder, batch = build_encoder(Stem, Config()), features(Stem, 5)
    x_BUD = encoder(batch)
    assert (encoder.num_units, encoder.output_width, x_BUD.shape) == (T + 1, N + F * D, (5, T + 1, N + F * D))
    for view in range(T + 1):
        columns = [batch.fields[:, field, view * D : (view + 1) * D] for field in range(F)]
        assert torch.equal(x_BUD[:, view], torch.cat([batch.flat[:, :N], *columns], dim=1))


def test_tables_are_as_wide_as_all_views() -> None:
    assert Stem.table_width(D, T) == shape_for(Stem).width == 32


def test_the_gradient_of_a_view_reaches_its_columns_alone() -> None:
    encoder, batch = build_encoder(Stem, Config()), features(Stem, 5)
    fields = batch.fields.requires_grad_()
    (gradient,) = torch.autograd.grad(encoder(batch)[:, 1].square().sum(), fields)
    reached = (gradient.view(5, F, T + 1, D) != 0).all(dim=3)
    assert reached[:, :, 1].all() and not reached[:, :, [0, 2, 3]].any()


def test_tables_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 4, the number of views"):
        Stem(FeatureShape(12, 2, 0, 6), T, Config())
