"""What a configuration's sequences ask of the look-up, and the poolings built for them."""

import pytest

from mtrec.errors import ConfigError
from mtrec.model.encoders.concat import Concat
from mtrec.model.encoders.dtrn import Dtrn
from mtrec.schema import Features, Roles
from mtrec.training.sequences import build_pooling, candidate_field, read_unpooled
from mtrec.types import FeatureShape

FEATURES = Features.model_validate(
    {
        "ids": ["item", {"column": "tags", "multi": True}, {"cross": ["item", "tags"]}],
        "sequences": ["seen", {"from": "bought", "pooling": "target_attention"}, {"from": "liked", "pooling": {"kind": "last"}}],
    }
)


def test_only_what_needs_its_positions_is_looked_up_by_position() -> None:
    assert [each.source for each in read_unpooled(FEATURES, Concat)] == ["bought", "liked"]
    assert [each.source for each in read_unpooled(FEATURES, Dtrn)] == ["seen", "bought", "liked"]


def test_the_candidate_is_an_id_with_one_value_a_row() -> None:
    found = [candidate_field(Roles(item=column), FEATURES) for column in ("item", "tags", "item_x_tags", "other", None)]
    assert found == ["item", None, None, None, None]


def test_poolings_are_built_in_the_order_of_the_sequences() -> None:
    shape = FeatureShape(8, 2, 2, 4, max_length=50, has_candidate=True)
    pooling = build_pooling(shape, read_unpooled(FEATURES, Concat))
    assert pooling is not None and [type(each).__name__ for each in pooling.poolings] == ["TargetAttention", "Last"]
    assert build_pooling(FeatureShape(8, 2, 0, 4), []) is None


def test_a_pooling_that_needs_the_candidate_is_refused_without_it() -> None:
    with pytest.raises(
        ConfigError, match="'target_attention' compares.*from bought.*list it in features.ids, or take pooling attention, last or mean"
    ):
        build_pooling(FeatureShape(8, 2, 2, 4, max_length=50), read_unpooled(FEATURES, Concat))
