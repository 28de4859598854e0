"""Frozen vectors as inputs: found by id, the same in prepare, in training and as a script."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from mtrec.errors import BundleError, DataError
from mtrec.features.feature_set import FeatureSet, column_types
from mtrec.features.state import load_state, save_state
from mtrec.features.vectors import FrozenVectors, frozen_vectors
from mtrec.schema import Features
from mtrec.testing.transform_case import scripted
from mtrec.types import Batch, Cursor

ITEMS, COUNTRIES = [9, 5, 2**60 + 1, -3], ["JP", "", "Österreich"]
RANDOM = np.random.default_rng(0)
ITEM_VECTORS, COUNTRY_VECTORS = RANDOM.normal(size=(4, 3)).astype(np.float32), RANDOM.normal(size=(3, 2)).astype(np.float32)
ROWS = pa.table(
    {
        "item": pa.array([5, None, 7, 2**60 + 1, -3, 9, 5], pa.int64()),
        "country": pa.array(["JP", "Österreich", "nowhere", None, "", "JP", "AT"]),
        "price": [1.0, 2.0, 3.0, None, 5.0, 6.0, 7.0],
    }
)


def section(**options: Any) -> Features:
    vectors = [{"column": "item", "source": "a", **options}, {"column": "country", "source": "b"}]
    return Features.model_validate({"ids": ["item"], "numbers": ["price"], "vectors": vectors})


def built(**options: Any) -> FeatureSet:
    return FeatureSet.build(section(**options), column_types(ROWS.schema))


def fitted(**options: Any) -> FeatureSet:
    features = built(**options)
    features.take_vectors([(pa.array(ITEMS), ITEM_VECTORS), (pa.array(COUNTRIES), COUNTRY_VECTORS)])
    features.observe(ROWS, np.arange(len(ROWS), dtype=np.uint64))
    features.finish()
    return features


def expected(item_vectors: np.ndarray = ITEM_VECTORS) -> np.ndarray:
    """Row by row, by plain dictionaries."""
    items, countries = dict(zip(ITEMS, item_vectors, strict=True)), dict(zip(COUNTRIES, COUNTRY_VECTORS, strict=True))
    rows = ROWS.select(["item", "country"]).to_pylist()
    nothing = (np.zeros(3, np.float32), np.zeros(2, np.float32))
    return np.stack([np.concatenate([items.get(row["item"], nothing[0]), countries.get(row["country"], nothing[1])]) for row in rows])


def frozen_of(features: FeatureSet) -> FrozenVectors:
    return FrozenVectors([features.state_dict()[f"vectors.{index}.rows"] for index in range(2)])


def batch_of(features: FeatureSet, rows: pa.Table) -> Batch:
    encoded = features.encode(rows)
    ids, lengths = torch.tensor(np.concatenate([each for each, _ in encoded.ids])), torch.tensor(np.stack([each for _, each in encoded.ids]))
    nothing = torch.zeros(len(rows), 1)
    return Batch(torch.tensor(encoded.numbers), ids, lengths, nothing, nothing.bool(), nothing[:, 0], torch.arange(len(rows)), Cursor(0, 0))


def test_every_path_gives_the_vectors_of_the_ids() -> None:
    features = fitted()
    numbers, values, lengths = features(*features.raw_inputs(ROWS))
    assert numbers.dtype == torch.float32 and numbers.shape == (7, 2 + 3 + 2)
    assert np.array_equal(numbers[:, 2:].numpy(), expected())
    script = scripted(features)
    for found, wanted in zip(script(*features.raw_inputs(ROWS)), (numbers, values, lengths), strict=True):
        assert torch.equal(found, wanted)
    frozen = frozen_of(features)
    batch = frozen(batch_of(features, ROWS))
    assert torch.equal(batch.numbers, numbers) and torch.equal(batch.ids, values) and torch.equal(batch.id_lengths, lengths)
    assert frozen.width == 5 and list(frozen.parameters()) == [] and frozen.state_dict() == {}


@pytest.mark.parametrize("num_rows", [0, 1])
def test_few_rows(num_rows: int) -> None:
    features, rows = fitted(), ROWS.slice(0, num_rows)
    batch = frozen_of(features)(batch_of(features, rows))
    for found in (features(*features.raw_inputs(rows)), scripted(features)(*features.raw_inputs(rows))):
        assert torch.equal(batch.numbers, found[0]) and found[0].shape == (num_rows, 7)


def test_normalised_vectors_have_length_one() -> None:
    features = built(normalise=True)
    given = np.concatenate([ITEM_VECTORS[:2] * np.float32(1e30), np.zeros((1, 3), np.float32), ITEM_VECTORS[3:] * np.float32(1e-30)])
    features.take_vectors([(pa.array(ITEMS), given), (pa.array(COUNTRIES), COUNTRY_VECTORS)])
    features.observe(ROWS, np.arange(len(ROWS), dtype=np.uint64))
    features.finish()
    directions = ITEM_VECTORS / np.linalg.norm(ITEM_VECTORS.astype(np.float64), axis=1, keepdims=True)
    directions[2] = 0.0
    numbers, _, _ = features(*features.raw_inputs(ROWS))
    assert numbers[:, 2:].numpy() == pytest.approx(expected(directions.astype(np.float32)), abs=1e-6)


def test_the_state_holds_the_vectors_and_knows_its_features(tmp_path: Path) -> None:
    features, restored = fitted(), built()
    state = save_state(features)
    load_state(restored, state)
    assert torch.equal(restored(*restored.raw_inputs(ROWS))[0], features(*features.raw_inputs(ROWS))[0])
    for found, wanted in zip(restored.encode(ROWS).ids, features.encode(ROWS).ids, strict=True):
        assert np.array_equal(found[0], wanted[0])
    save_file(state, tmp_path / "features.safetensors")
    frozen = frozen_vectors(tmp_path / "features.safetensors", 2)
    assert all(torch.equal(table, wanted) for table, wanted in zip(frozen.tables, frozen_of(features).tables, strict=True))
    with pytest.raises(BundleError, match="other features"):
        load_state(built(normalise=True), state)


def test_the_columns_are_inputs_once() -> None:
    kinds = [(each["column"], each["kind"]) for each in fitted().signature()]
    assert kinds == [("price", "number"), ("item", "id"), ("country", "string")]


def test_vectors_alone_are_features() -> None:
    features = FeatureSet.build(Features.model_validate({"vectors": [{"column": "item", "source": "a"}]}), column_types(ROWS.schema))
    features.take_vectors([(pa.array(ITEMS), ITEM_VECTORS)])
    features.finish()
    assert np.array_equal(features(*features.raw_inputs(ROWS))[0].numpy(), expected()[:, :3])


def test_columns_that_do_not_fit_are_named() -> None:
    vectors = [{"column": column, "source": "a"} for column in ("itme", "price")]
    with pytest.raises(DataError) as caught:
        FeatureSet.build(Features.model_validate({"vectors": vectors}), column_types(ROWS.schema))
    assert "vector of `itme`: column `itme` is missing. Did you mean 'item'?" in str(caught.value)
    assert "vector of `price`: column `price` is of type number. Vectors are found by one whole number or text a row" in str(caught.value)


def test_features_without_their_vectors_are_not_finished() -> None:
    features = built()
    features.observe(ROWS, np.arange(len(ROWS), dtype=np.uint64))
    with pytest.raises(DataError, match="were given no vectors"):
        features.finish()


def test_a_column_that_a_request_lacks_is_named() -> None:
    features = fitted()
    numbers, ids, _ = features.raw_inputs(ROWS)
    with pytest.raises(ValueError, match="Column `country` is missing among the strings"):
        features(numbers, ids, {})
