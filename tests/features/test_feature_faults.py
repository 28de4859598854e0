"""Faults are found before anything is read, all in one report, and bad inputs of a script are named."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from mtrec.errors import ConfigError, DataError
from mtrec.features.feature_set import FeatureSet, column_types
from mtrec.schema import Features
from mtrec.testing.transform_case import scripted

TYPES = {
    "item": "int",
    "user": "string",
    "price": "number",
    "tags": "string_list",
    "views": "int_list",
    "gap": "number_list",
    "ts": "timestamp[ms]",
}


def report(**section: Any) -> str:
    with pytest.raises(DataError) as caught:
        FeatureSet.build(Features.model_validate(section), TYPES)
    return str(caught.value)


def test_all_faults_are_in_one_report() -> None:
    found = report(
        ids=["itme", "price", "tags", "ts", {"column": "item", "multi": True}, {"column": "gone", "encoding": {"kind": "buckets"}}],
        numbers=["past.*", "user", "prize"],
        sequences=["gap", {"from": "views", "shares": {"views": "itm"}}, "item"],
    )
    for fault in (
        "id `itme`: column `itme` is missing. Did you mean 'item'?",
        "id `price`: column `price` is of type number. Ids cannot be floats",
        "id `tags`: column `tags` is of type string_list. A column of lists needs `multi: true`",
        "id `ts`: column `ts` is of type timestamp[ms]. Ids must be whole numbers or text",
        "id `item`: column `item` is of type int. `multi: true` needs a column of lists",
        "id `gone`: column `gone` is missing",
        "number glob `past.*` matches no column of numbers",
        "number `user`: column `user` is of type string",
        "number `prize`: column `prize` is missing. Did you mean 'price'?",
        "sequence `gap`: column `gap` is of type number_list",
        "sequence `views`: shares the table of `itm`, which is not among the ids",
        "sequence `item`: column `item` is of type int",
    ):
        assert fault in found


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({}, "there is no feature at all"),
        ({"ids": ["item", "item"]}, "`item` is declared twice"),
        ({"numbers": ["price", "price"]}, "number `price` is listed twice"),
        ({"ids": ["item", {"column": "user", "table": "item"}]}, "`user` and `item` share table `item`, but not one encoding"),
        (
            {"ids": ["item"], "sequences": [{"from": "tags", "shares": {"tags": "item"}}]},
            "share table `item`, but not one encoding and type of values: vocabulary of string and vocabulary of int",
        ),
        ({"ids": [{"column": "item", "encoding": {"kind": "cross", "size": 9}}]}, "encoding cross needs `cross: [column, column]`"),
        ({"ids": [{"column": "tags", "multi": True, "encoding": "buckets"}]}, "buckets takes one column with one number a row"),
        ({"sequences": [{"from": "views", "shares": {"tags": "item"}}]}, "shares names `tags`, which is not its list column"),
        ({"sequences": [{"from": "views", "numbers": ["price"]}]}, "must hold lists of numbers, aligned with `views`"),
        ({"ids": [{"cross": ["item", "tags"], "encoding": {"kind": "cross", "size": 9}}]}, "column `tags` is of type string_list"),
    ],
)
def test_fault(section: dict[str, Any], fault: str) -> None:
    assert fault in report(**section)


@pytest.mark.parametrize(
    ("section", "fault"),
    [
        ({"ids": [{"column": "item", "encoding": "vocabulry"}]}, r"features\.ids\.item\.encoding.*Did you mean 'vocabulary'"),
        ({"ids": [{"column": "item", "encoding": {"kind": "hashing"}}]}, r"options of 'hashing' are not valid.*size: Field required"),
        ({"ids": [{"column": "item", "encoding": {"kind": "vocabulary", "min_cout": 3}}]}, "min_cout: Extra inputs"),
        ({"ids": [{"column": "item", "encoding": "standard"}]}, "'standard' does not encode ids"),
        ({"numbers": [{"column": "price", "transforms": ["buckets"]}]}, "'buckets' does not turn numbers into numbers"),
        ({"numbers": [{"column": "price", "transforms": ["log1p"]}]}, "A chain must end with a transform that fills null"),
        ({"ids": [{"cross": ["item", "user"], "encoding": "buckets"}]}, "buckets takes one column"),
    ],
)
def test_fault_of_the_configuration(section: dict[str, Any], fault: str) -> None:
    with pytest.raises((ConfigError, DataError), match=fault):
        FeatureSet.build(Features.model_validate(section), TYPES)


def test_features_without_values_are_named_together() -> None:
    train = pa.table({"price": pa.array([None], pa.float64()), "item": pa.array([None], pa.int64())})
    features = FeatureSet.build(Features.model_validate({"ids": ["item"], "numbers": ["price"]}), column_types(train.schema))
    with pytest.raises(DataError, match=r"number `price`: Standard has no value.*id `item`: Vocabulary has no value"):
        features.finish()


def test_columns_of_another_log_are_checked_together() -> None:
    section = Features.model_validate({"ids": ["item", "user"], "numbers": ["price"]})
    features = FeatureSet.build(section, TYPES)
    with pytest.raises(DataError, match=r"column `price` is of type string.*column `item` is of type double, but is read as id.*`user` is missing"):
        features.encode(pa.table({"item": [1.0], "price": ["1"]}))


def test_ids_beyond_int64_are_refused() -> None:
    features = FeatureSet.build(Features.model_validate({"ids": ["item"]}), TYPES)
    with pytest.raises(DataError, match=r"column `item`: .*9223372036854775808 not in range"):
        features.encode(pa.table({"item": pa.array([2**63], pa.uint64())}))


def test_a_column_that_is_null_throughout_fits_every_input() -> None:
    section = {"ids": ["item", {"column": "tags", "multi": True}], "numbers": ["price"]}
    train = pa.table({"item": [1, 1], "tags": [["a"], ["a"]], "price": [1.0, 2.0]})
    features = FeatureSet.build(Features.model_validate(section), column_types(train.schema))
    features.observe(train, torch.arange(2).numpy().astype("uint64"))
    features.finish()
    encoded = features.encode(pa.table({name: pa.nulls(2) for name in ("item", "tags", "price")}))
    assert encoded.numbers.tolist() == [[0.0, -1.0], [0.0, -1.0]]
    assert [lengths.tolist() for _, lengths in encoded.ids] == [[0, 0], [0, 0]]


def test_types_of_columns() -> None:
    types = {
        "int": [pa.int8(), pa.uint64(), pa.bool_(), pa.dictionary(pa.int8(), pa.int64())],
        "number": [pa.float16(), pa.float64(), pa.decimal128(9, 2)],
        "string": [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())],
        "string_list": [pa.list_(pa.dictionary(pa.int32(), pa.string())), pa.large_list(pa.string())],
        "int_list": [pa.list_(pa.int32(), 3)],
        "number_list": [pa.list_(pa.float32())],
        "date32[day]": [pa.date32()],
    }
    for expected, arrow_types in types.items():
        found = column_types(pa.schema([(f"c{index}", each) for index, each in enumerate(arrow_types)]))
        assert set(found.values()) == {expected}


GOOD: dict[str, Any] = {
    "numbers": {"price": torch.tensor([1.0, 2.0]).double()},
    "ids": {
        "item": (torch.tensor([1]), torch.tensor([0, 1])),
        "views": (torch.tensor([1, 2]), torch.tensor([2, 0])),
        "gap": (torch.tensor([1.0, 2.0]).double(), torch.tensor([2, 0])),
    },
    "strings": {"user": (["a", "b"], torch.tensor([1, 1]))},
}


@pytest.fixture(scope="module")
def script() -> Any:
    section = {"ids": ["item", "user"], "numbers": ["price"], "sequences": [{"from": "views", "numbers": ["gap"]}]}
    return scripted(FeatureSet.build(Features.model_validate(section), TYPES))


def test_a_good_request_passes(script: Any) -> None:
    numbers, values, lengths = script(**GOOD)
    assert numbers.shape == (2, 2) and lengths.tolist() == [[0, 1], [1, 1], [2, 0], [2, 0]]
    assert len(values) == 7


@pytest.mark.parametrize(
    ("part", "column", "value", "fault"),
    [
        ("numbers", "price", None, "price.* among the inputs|`price` is missing"),
        ("ids", "item", None, "Column `item` is missing among the ids"),
        ("strings", "user", None, "Column `user` is missing among the strings"),
        ("numbers", "price", torch.ones(2, 1), "Column `price` must have one dimension"),
        ("numbers", "price", torch.ones(3), "Column `item` has 2 lengths, but the batch has 3 rows"),
        ("ids", "item", (torch.tensor([1]), torch.tensor([1])), "Column `item` has 1 lengths, but the batch has 2 rows"),
        ("ids", "item", (torch.tensor([1, 2]), torch.tensor([3, -1])), "Column `item` has a negative length"),
        ("ids", "item", (torch.tensor([1, 2]), torch.tensor([1, 0])), "lengths of column `item` must add up to its 2 values"),
        ("ids", "item", (torch.tensor([1]), torch.tensor([2**62, 2**62])), "lengths of column `item` must add up"),
        ("ids", "item", (torch.tensor([1, 2]), torch.tensor([2, 0])), "`item` holds one value a row, but a row has several"),
        ("ids", "item", (torch.tensor([1.0]), torch.tensor([0, 1])), "values of column `item` must be whole numbers"),
        ("ids", "item", (torch.tensor([[1]]), torch.tensor([0, 1])), "values of column `item` must have one dimension"),
        ("ids", "item", (torch.tensor([1]), torch.tensor([0.0, 1.0])), "lengths of column `item` must be whole numbers"),
        ("strings", "user", (["a"], torch.tensor([1, 1])), "lengths of column `user` must add up to its 1 values"),
        ("ids", "gap", (torch.tensor([1.0, 2.0]), torch.tensor([1, 1])), "lists of column `gap` must be as long as those of column `views`"),
    ],
)
def test_a_bad_request_is_named(script: Any, part: str, column: str, value: Any, fault: str) -> None:
    request = {name: dict(columns) for name, columns in GOOD.items()}
    if value is None:
        del request[part][column]
    else:
        request[part][column] = value
    with pytest.raises(torch.jit.Error, match=fault):
        script(**request)


def test_a_request_without_any_known_column_is_refused(script: Any) -> None:
    with pytest.raises(torch.jit.Error, match="None of the columns"):
        script(numbers={}, ids={}, strings={})


def test_a_batch_without_rows_passes(script: Any) -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    ids = {"item": (empty, empty), "views": (empty, empty), "gap": (empty.double(), empty)}
    numbers, values, lengths = script({"price": empty.double()}, ids, {"user": ([], empty)})
    assert numbers.shape == (0, 2) and values.shape == (0,) and lengths.shape == (4, 0)


def test_numbers_out_of_bounds_are_refused_by_prepare_and_null_in_the_artifact() -> None:
    bounds = {"kind": "bounds", "low": 0.0, "high": 100.0}
    section = {"numbers": [{"column": "price", "transforms": [[bounds, {"kind": "standard"}], [bounds, {"kind": "quantile_rank"}]]}]}
    train = pa.table({"price": [1.0, 2.0, 3.0, None]})
    features = FeatureSet.build(Features.model_validate(section), column_types(train.schema))
    features.observe(train, np.arange(4, dtype=np.uint64))
    features.finish()
    broken = pa.table({"price": [2.0, -999.0, 1e9, None]})
    with pytest.raises(DataError, match="2 values of `price`"):
        features.encode(broken)
    straight, _, _ = features(*features.raw_inputs(broken))
    assert straight[1:].tolist() == [[0.0, -1.0]] * 3
    assert np.array_equal(features.encode(broken, strict=False).numbers, straight.numpy())
