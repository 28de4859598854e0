"""The pipeline: what it fits, and that prepare and the artifact encode alike."""

import io
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtrec.errors import BundleError, DataError
from mtrec.features.feature_set import Encoded, FeatureSet, column_types
from mtrec.features.state import load_state, save_state
from mtrec.schema import Features
from mtrec.testing.transform_case import scripted

NAN, INF = float("nan"), float("inf")
ALL_SEEN = {"kind": "vocabulary", "min_count": 1}


def fitted(section: dict[str, Any], train: pa.Table, **options: Any) -> FeatureSet:
    features = FeatureSet.build(Features.model_validate(section), column_types(train.schema), **options)
    features.observe(train, np.arange(len(train), dtype=np.uint64))
    features.finish()
    return features


def lists(encoded: Encoded, index: int) -> list[list[int]]:
    """The rows of one feature as nested lists."""
    values, lengths = encoded.ids[index]
    return [part.tolist() for part in np.split(values, np.cumsum(lengths)[:-1])]


def assert_same(found: tuple[torch.Tensor, torch.Tensor, torch.Tensor], encoded: Encoded) -> None:
    numbers, values, lengths = found
    assert numbers.dtype == torch.float32 and values.dtype == lengths.dtype == torch.int64
    assert np.array_equal(numbers.numpy().view(np.int32), encoded.numbers.view(np.int32))
    num_rows = len(encoded.numbers)
    assert np.array_equal(values.numpy(), np.concatenate([np.zeros(0, np.int64), *(each for each, _ in encoded.ids)]))
    assert np.array_equal(lengths.numpy(), np.stack([each for _, each in encoded.ids]) if encoded.ids else np.zeros((0, num_rows)))


def test_null_single_id_has_length_zero_and_unseen_id_is_row_zero() -> None:
    train = pa.table({"item": [5, 5, 9, 9]})
    encoded = fitted({"ids": ["item"]}, train).encode(pa.table({"item": [9, None, 7, 5]}))
    assert lists(encoded, 0) == [[2], [], [0], [1]]


def test_lists_keep_their_newest_known_values() -> None:
    section = {"ids": [{"column": "tags", "multi": True, "max_length": 2, "encoding": ALL_SEEN}]}
    train = pa.table({"tags": [["a"], ["b"], ["c"]]})
    asked = pa.table({"tags": pa.array([["a", "b", "c"], ["a", None, "c", None], [], None, [None], ["z"]], pa.list_(pa.string()))})
    assert lists(fitted(section, train).encode(asked), 0) == [[2, 3], [1, 3], [], [], [], [0]]


def test_only_the_values_that_the_model_sees_are_learned() -> None:
    section = {"ids": [{"column": "tags", "multi": True, "max_length": 1, "encoding": ALL_SEEN}]}
    assert fitted(section, pa.table({"tags": [["old", "new"]]})).table_sizes() == {"tags": 2}


def test_a_sequence_shares_table_and_encoder() -> None:
    section = {"ids": ["item"], "sequences": [{"from": "views", "shares": {"views": "item"}}]}
    train = pa.table({"item": [1, 2, 3], "views": [[3], [2, 7], [7]]})  # 2, 3 and 7 are seen twice, 1 once
    features = fitted(section, train)
    assert features.table_sizes() == {"item": 4}
    encoded = features.encode(train)
    assert lists(encoded, 0) == [[0], [1], [2]]
    assert lists(encoded, 1) == [[2], [1, 3], [3]]


def test_a_sequence_that_shares_nothing_has_a_table_of_its_own() -> None:
    train = pa.table({"views": [["a", "b"], ["a", "b"]]})
    assert fitted({"sequences": ["views"]}, train).table_sizes() == {"views": 3}


def test_aligned_numbers_go_where_their_ids_go() -> None:
    section = {"sequences": [{"from": "views", "numbers": ["gap"], "buckets": 2, "max_length": 2}]}
    train = pa.table({"views": [[1, 2], [1, 2]], "gap": [[1.0, 2.0], [3.0, 4.0]]})  # one boundary, 2
    asked = pa.table({"views": [[1, 1, None, 2], [None, 1], None], "gap": [[9.0, 1.0, 9.0, None], [9.0, 2.5], []]})
    encoded = fitted(section, train).encode(asked)
    assert lists(encoded, 0) == [[1, 2], [1], []]
    assert lists(encoded, 1) == [[1, 0], [2], []]


def test_aligned_numbers_of_other_lengths_are_refused() -> None:
    section = {"sequences": [{"from": "views", "numbers": ["gap"]}]}
    train = pa.table({"views": [[1, 2], [1, 2]], "gap": [[1.0, 2.0], [3.0, 4.0]]})
    with pytest.raises(DataError, match="column `gap`: 1 of its lists differ in length"):
        fitted(section, train).encode(pa.table({"views": [[1, 2], [1]], "gap": [[1.0], [1.0]]}))


def test_a_cross_needs_all_of_its_columns_and_tells_their_order() -> None:
    cross = {"cross": ["a", "b"], "encoding": ALL_SEEN}
    train = pa.table({"a": [1, 1, 2, None], "b": [1, 2, 1, 1]})
    features = fitted({"ids": [cross]}, train)
    assert features.table_sizes() == {"a_x_b": 4}
    rows = lists(features.encode(train), 0)
    assert rows[3] == [] and sorted(rows[:3]) == [[1], [2], [3]]


def test_features_of_one_table_are_adjacent() -> None:
    section = {
        "ids": ["item", "user", {"column": "other", "table": "item"}],
        "sequences": [{"from": "views", "shares": {"views": "user"}}],
    }
    train = pa.table({"item": [1, 1], "user": [2, 2], "other": [3, 3], "views": [[4, 4], [4]]})
    features = fitted(section, train)
    assert [(feature.name, feature.table, feature.kind) for feature in features.id_inputs] == [
        ("item", "item", "single"),
        ("other", "item", "single"),
        ("user", "user", "single"),
        ("views", "user", "sequence"),
    ]
    assert features.table_sizes() == {"item": 3, "user": 3}


def test_numbers_come_in_the_order_of_the_configuration_and_exact_names_beat_globs() -> None:
    section = {"numbers": ["past.*", {"column": "past.b", "transforms": [["log1p", "standard"]]}, "price"]}
    train = pa.table({"price": [1.0, 2.0], "past.a": [1, 2], "past.b": [1, 2], "past.name": ["x", "y"]})
    names = [number.name for number in fitted(section, train).number_inputs]
    assert names == ["past.a.standard", "past.a.quantile_rank", "past.b.log1p.standard", "price.standard", "price.quantile_rank"]


def test_numbers_by_hand() -> None:
    features = fitted({"numbers": ["price"]}, pa.table({"price": [1, 3, None]}))
    encoded = features.encode(pa.table({"price": [3.0, NAN, None, 2.0]}))
    assert encoded.numbers.tolist() == [[1.0, 0.75], [0.0, -1.0], [0.0, -1.0], [0.0, 0.5]]


def test_infinite_numbers_are_refused_when_strict_and_null_when_not() -> None:
    section = {"numbers": ["price"], "sequences": [{"from": "views", "numbers": ["gap"]}]}
    train = pa.table({"price": [1.0, 3.0], "views": [[1], [1]], "gap": [[1.0], [2.0]]})
    asked = pa.table({"price": [INF, -INF], "views": [[1], [1]], "gap": [[1.0], [INF]]})
    features = fitted(section, train)
    with pytest.raises(DataError, match="column `price` has 2 infinite numbers; column `gap` has 1 infinite numbers"):
        features.encode(asked)
    encoded = features.encode(asked, strict=False)
    assert encoded.numbers.tolist() == [[0.0, -1.0], [0.0, -1.0]]
    assert lists(encoded, 1) == [[1], [0]]


SECTION: dict[str, Any] = {
    "ids": [
        "user",
        {"column": "name", "encoding": {"kind": "vocabulary", "min_count": 1}},
        {"column": "tags", "multi": True, "max_length": 2},
        {"column": "url", "encoding": {"kind": "hashing", "size": 50}},
        {"cross": ["user", "name"], "encoding": {"kind": "cross", "size": 50}},
        {"cross": ["name", "user"], "encoding": {"kind": "vocabulary", "min_count": 1}},
        {"column": "price", "encoding": {"kind": "buckets", "num_buckets": 4}},
    ],
    "numbers": ["price", {"column": "count", "transforms": [["log1p", "standard"], "quantile_rank"]}],
    "sequences": [{"from": "views", "shares": {"views": "user"}, "numbers": ["gap"], "max_length": 3}, {"from": "words", "max_length": 2}],
}
USERS = st.none() | st.sampled_from([1, 2, 2**53 + 1, -1, 2**63 - 1, -(2**63)]) | st.integers(-(2**63), 2**63 - 1)
TEXTS = st.none() | st.sampled_from(["a", "Ü", "日本", ""]) | st.text(max_size=4)
FLOATS = st.none() | st.floats() | st.sampled_from([0.0, 1.0, 2.0])
STEPS = st.lists(st.tuples(USERS, FLOATS), max_size=5)
ROWS = st.fixed_dictionaries(
    {
        "user": USERS,
        "name": TEXTS,
        "tags": st.none() | st.lists(TEXTS, max_size=4),
        "url": TEXTS,
        "price": FLOATS,
        "count": st.none() | st.integers(0, 5),
        "steps": st.none() | STEPS,
        "words": st.none() | st.lists(TEXTS, max_size=4),
    }
)
SCHEMA = {
    "user": pa.int64(),
    "name": pa.string(),
    "tags": pa.list_(pa.string()),
    "url": pa.string(),
    "price": pa.float64(),
    "count": pa.int64(),
    "views": pa.list_(pa.int64()),
    "gap": pa.list_(pa.float64()),
    "words": pa.large_list(pa.large_string()),
}
TRAIN_ROWS = [
    {"user": 1, "name": "a", "tags": ["x", "Ü"], "url": "u", "price": 1.0, "count": 0, "steps": [(2**53 + 1, 1.0)], "words": ["日本"]},
    {"user": 2, "name": "Ü", "tags": ["x"], "url": None, "price": 3.0, "count": 4, "steps": [(2, 5.0), (-1, 2.0)], "words": ["日本", "a"]},
    {"user": -1, "name": "日本", "tags": ["Ü"], "url": "v", "price": 7.0, "count": 1, "steps": None, "words": ["a"]},
]


def table(rows: list[dict[str, Any]]) -> pa.Table:
    columns = {name: [row[name] for row in rows] for name in SCHEMA if name not in ("views", "gap")}
    columns["views"] = [None if row["steps"] is None else [step[0] for step in row["steps"]] for row in rows]
    columns["gap"] = [None if row["steps"] is None else [step[1] for step in row["steps"]] for row in rows]
    return pa.table({name: pa.array(columns[name], kind) for name, kind in SCHEMA.items()})


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return fitted(SECTION, table(TRAIN_ROWS))


@pytest.fixture(scope="module")
def script(features: FeatureSet) -> Any:
    return scripted(features)


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROWS, max_size=6), cut=st.integers(0, 6))
def test_prepare_and_script_encode_alike(features: FeatureSet, script: Any, rows: list[dict[str, Any]], cut: int) -> None:
    whole = table(rows)
    encoded = features.encode(whole, strict=False)
    inputs = features.raw_inputs(whole)
    assert_same(script(*inputs), encoded)
    assert_same(features(*inputs), encoded)
    sizes = features.table_sizes()
    for feature, (values, lengths) in zip(features.id_inputs, encoded.ids, strict=True):
        assert ((values >= 0) & (values < sizes[feature.table])).all()
        assert lengths.sum() == len(values) and (lengths <= feature.max_length).all()
    # Text as dictionaries, and columns in chunks, are the same columns.
    pieces = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    coded = pieces.set_column(1, "name", pieces.column("name").dictionary_encode())
    assert_same(features(*inputs), features.encode(coded, strict=False))


@settings(max_examples=20, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=8), order=st.randoms(), cut=st.integers(0, 8))
def test_fit_depends_on_neither_order_nor_batches(rows: list[dict[str, Any]], order: Any, cut: int) -> None:
    rows = [*TRAIN_ROWS, *rows]
    hashes = np.arange(len(rows), dtype=np.uint64) * 7 % 11
    places = list(range(len(rows)))
    order.shuffle(places)
    states = []
    for sequence in (list(range(len(rows))), places):
        built = FeatureSet.build(Features.model_validate(SECTION), column_types(table([]).schema), sample_rows=6)
        for piece in (slice(0, cut), slice(cut, None)):
            built.observe(table([rows[place] for place in sequence[piece]]), hashes[sequence[piece]])
        built.finish()
        states.append(save_state(built))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_state_survives_safetensors(features: FeatureSet) -> None:
    restored = FeatureSet.build(Features.model_validate(SECTION), column_types(table([]).schema))
    load_state(restored, safetensors.torch.load(safetensors.torch.save(save_state(features))))
    assert restored.table_sizes() == features.table_sizes()
    inputs = features.raw_inputs(table(TRAIN_ROWS))
    assert_same(restored(*inputs), features.encode(table(TRAIN_ROWS)))
    assert_same(scripted(restored)(*inputs), features.encode(table(TRAIN_ROWS)))


def test_frozen_and_saved_script_encodes_alike(features: FeatureSet, script: Any) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is deprecated", category=DeprecationWarning)
        torch.jit.save(torch.jit.freeze(script.eval(), optimize_numerics=False), buffer)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)
    inputs, encoded = features.raw_inputs(table(TRAIN_ROWS)), features.encode(table(TRAIN_ROWS))
    for _ in range(4):  # the optimised form runs only after a few calls
        assert_same(loaded(*inputs), encoded)


def test_arrow_forms_of_one_column_are_read_alike() -> None:
    section = {"ids": [{"column": "tags", "multi": True, "encoding": ALL_SEEN}, {"column": "name", "encoding": ALL_SEEN}]}
    train = pa.table({"tags": [["a", "b"], ["c", "d"]], "name": ["x", "y"]})
    features = fitted(section, train)
    fixed = pa.array([["a", "b"], None, ["b", None]], pa.list_(pa.string(), 2))
    with_null = pa.DictionaryArray.from_arrays(pa.array([0, 1, None]), pa.array(["x", None]))  # null as an entry of the dictionary
    encoded = features.encode(pa.table({"tags": fixed, "name": with_null}))
    assert lists(encoded, 0) == [[1, 2], [], [2]]
    assert lists(encoded, 1) == [[1], [], []]
    assert len(features.encode(train.schema.empty_table()).numbers) == 0


def test_a_state_of_features_in_another_order_is_refused() -> None:
    train = pa.table({"a": [1, 1], "b": [2, 2]})
    straight, swapped = fitted({"ids": ["a", "b"]}, train), fitted({"ids": ["b", "a"]}, train)
    with pytest.raises(BundleError, match="The fitted state belongs to other features"):
        load_state(swapped, save_state(straight))


def test_signature_names_each_input_once(features: FeatureSet) -> None:
    assert features.signature() == [
        {"column": "price", "kind": "number"},
        {"column": "count", "kind": "number"},
        {"column": "user", "kind": "id"},
        {"column": "views", "kind": "id_list"},
        {"column": "name", "kind": "string"},
        {"column": "tags", "kind": "string_list"},
        {"column": "url", "kind": "string"},
        {"column": "gap", "kind": "number_list", "aligned_to": "views"},
        {"column": "words", "kind": "string_list"},
    ]


def test_only_numbers_or_only_ids() -> None:
    train = pa.table({"price": [1.0, 2.0], "item": [1, 1]})
    for section in ({"numbers": ["price"]}, {"ids": ["item"]}):
        features = fitted(section, train)
        inputs = features.raw_inputs(train)
        assert_same(features(*inputs), features.encode(train))
        assert_same(scripted(features)(*inputs), features.encode(train))
