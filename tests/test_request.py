"""Every form of rows gives the same request, exact and without nulls; what does not fit is named."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from mtrec.errors import DataError
from mtrec.request import Input, Request, Rows
from tests.export.small_model import make_log, small_model

HUGE = [2**53 + 1, 2**60 + 1, -1, None, 2**63 - 1, -(2**63)]
KINDS = [
    Input("days", "number_list", "seen"),  # before what it is aligned with, on purpose
    Input("price", "number"),
    Input("user", "id"),
    Input("country", "string"),
    Input("seen", "id_list"),
    Input("tags", "string_list"),
]
ROWS: dict[str, list[Any]] = {
    "price": [1.5, None, -2, True, 0.0, 1e300],
    "user": HUGE,
    "country": ["日本", None, "", "a", "Österreich", "b"],
    "seen": [[1, None, 2**60 + 1], None, [], [3], [None], [4, 5]],
    "days": [[0.5, 1.0, None], [], None, [2.0], [9.0], [3.0, 4.0]],
    "tags": [["x", None, "日"], [], None, ["", "y"], [None], ["z"]],
    "other": [0] * 6,
}
TYPES = {"price": pa.float64(), "user": pa.int64(), "seen": pa.list_(pa.int64()), "days": pa.list_(pa.float32()), "tags": pa.list_(pa.string())}


def table() -> pa.Table:
    return pa.table({name: pa.array([float(v) if v is not None else v for v in values] if name == "price" else values, TYPES.get(name))
                     for name, values in ROWS.items()})  # fmt: skip


def request_of(rows: Any) -> Request:
    return Rows(rows, KINDS).request()


def assert_is_expected(request: Request) -> None:
    numbers, ids, strings = request
    assert torch.equal(numbers["price"].nan_to_num(-7.0), torch.tensor([1.5, -7.0, -2.0, 1.0, 0.0, 1e300], dtype=torch.float64))
    values, lengths = ids["user"]
    assert values.dtype == lengths.dtype == torch.int64
    assert values.tolist() == [2**53 + 1, 2**60 + 1, -1, 2**63 - 1, -(2**63)] and lengths.tolist() == [1, 1, 1, 0, 1, 1]
    assert strings["country"][0] == ["日本", "", "a", "Österreich", "b"] and strings["country"][1].tolist() == [1, 0, 1, 1, 1, 1]
    assert ids["seen"][0].tolist() == [1, 2**60 + 1, 3, 4, 5] and ids["seen"][1].tolist() == [2, 0, 0, 1, 0, 2]
    # What stands beside a null is dropped with it; a null beside a value is NaN.
    assert ids["days"][0].nan_to_num(-7.0).tolist() == [0.5, -7.0, 2.0, 3.0, 4.0] and ids["days"][1].tolist() == [2, 0, 0, 1, 0, 2]
    assert ids["days"][0].dtype == torch.float64
    assert strings["tags"][0] == ["x", "日", "", "y", "z"] and strings["tags"][1].tolist() == [2, 0, 0, 2, 0, 1]
    assert (set(numbers), set(ids), set(strings)) == ({"price"}, {"user", "seen", "days"}, {"country", "tags"})


def test_lists() -> None:
    assert_is_expected(request_of(ROWS))
    assert_is_expected(request_of({**ROWS, "user": np.array(HUGE, dtype=object), "price": tuple(ROWS["price"])}))


def test_arrow_in_all_its_types() -> None:
    rows = table()
    assert_is_expected(request_of(rows))
    assert_is_expected(request_of(rows.to_batches()[0]))
    assert_is_expected(request_of(pa.concat_tables([rows.slice(0, 2), rows.slice(2, 3), rows.slice(5)])))
    padded = pa.concat_tables([rows.slice(3, 2), rows, rows.slice(0, 1)])
    assert_is_expected(Rows(padded.combine_chunks(), KINDS).request(2, 6))
    large = {"seen": pa.large_list(pa.int64()), "country": pa.dictionary(pa.int32(), pa.string()), "tags": pa.large_list(pa.large_string())}
    for name, arrow_type in large.items():
        changed = rows.column(name).combine_chunks()
        changed = changed.dictionary_encode() if pa.types.is_dictionary(arrow_type) else changed.cast(arrow_type)
        assert_is_expected(request_of(rows.set_column(rows.schema.get_field_index(name), name, changed)))


def test_pandas_with_and_without_nullable_types() -> None:
    assert_is_expected(request_of(table().to_pandas(types_mapper=pd.ArrowDtype)))
    # Arrow makes floats of lists with a null in them: exact ids come as lists.
    frame = table().to_pandas().assign(seen=pd.Series(ROWS["seen"]), user=pd.array(HUGE, dtype="Int64"))
    assert_is_expected(request_of(frame))
    frame["user"] = pd.Series(HUGE, dtype=object)
    assert_is_expected(request_of(frame.set_index(pd.Index(list("abcdef")))))


def test_polars() -> None:
    assert_is_expected(request_of(pl.from_arrow(table())))


def test_pandas_floats_stand_for_ids_while_they_are_exact() -> None:
    inputs = [Input("user", "id"), Input("seen", "id_list")]
    frame = pd.DataFrame({"user": [3.0, np.nan, -4.0], "seen": [np.array([1.0, np.nan]), None, [2.0]]})
    _, ids, _ = Rows(frame, inputs).request()
    assert ids["user"][0].tolist() == [3, -4] and ids["user"][1].tolist() == [1, 0, 1]
    assert ids["seen"][0].tolist() == [1, 2] and ids["seen"][1].tolist() == [1, 0, 1]
    for wrong in (0.5, 2.0**60, np.inf):
        with pytest.raises(DataError, match="`user` cannot be read as id"):
            Rows(frame.assign(user=[1.0, np.nan, wrong]), inputs).request()


def test_columns_of_nulls_only_fit_every_kind() -> None:
    empty = {name: [None, None] for name in ROWS}
    for rows in (empty, pa.table({name: pa.nulls(2) for name in ROWS}), pd.DataFrame(empty)):
        numbers, ids, strings = request_of(rows)
        assert numbers["price"].isnan().all()
        assert all(len(values) == 0 and lengths.tolist() == [0, 0] for values, lengths in (*ids.values(), *strings.values()))


def test_no_rows() -> None:
    for rows in ({name: [] for name in ROWS}, table().slice(0, 0), table().schema.empty_table(), table().slice(0, 0).to_pandas()):
        numbers, ids, strings = request_of(rows)
        assert numbers["price"].shape == (0,)
        assert all(len(values) == len(lengths) == 0 for values, lengths in (*ids.values(), *strings.values()))


def test_fixed_size_lists_and_decimals() -> None:
    rows = pa.table({"x": pa.array([Decimal("1.5"), None]), "pair": pa.array([[1, 2], None], pa.list_(pa.int16(), 2))})
    numbers, ids, _ = Rows(rows, [Input("x", "number"), Input("pair", "id_list")]).request()
    assert numbers["x"][0] == 1.5 and numbers["x"][1].isnan()
    assert ids["pair"][0].tolist() == [1, 2] and ids["pair"][1].tolist() == [2, 0]


def test_is_the_request_that_the_features_read() -> None:
    features = small_model().feature_set
    rows = make_log(200, seed=5)
    inputs = [Input(each["column"], each["kind"], each.get("aligned_to")) for each in features.signature()]
    for found, expected in zip(Rows(rows, inputs).request(), features.raw_inputs(rows), strict=True):
        assert found.keys() == expected.keys()
        for name, columns in found.items():
            for one, other in zip(columns, expected[name], strict=True):
                torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True) if torch.is_tensor(one) else None
                assert torch.is_tensor(one) or one == other


@pytest.mark.parametrize(
    ("column", "value", "named"),
    [
        ("user", 1.5, r"`user`.*1\.5 \(float\).*whole number of 64 bits"),
        ("user", "7", r"`user`.*'7' \(str\)"),
        ("user", 2**63, "`user`.*9223372036854775808"),
        ("user", 2.0**60, "`user`"),
        ("user", [1], "`user`"),
        ("price", "cheap", r"`price`.*'cheap' \(str\).*a number"),
        ("price", [1.0], "`price`"),
        ("price", 10**400, "`price`"),
        ("country", 7, r"`country`.*7 \(int\).*text"),
        ("country", b"x", "`country`"),
        ("seen", 7, "`seen` are not a list"),
        ("seen", "12", "`seen` are not a list"),
        ("seen", ["a"], "`seen`"),
        ("seen", [1, 2], "`days` and `seen`"),
        ("days", ["a"], "`days`"),
        ("tags", [1], "`tags`"),
    ],
)
def test_values_that_do_not_fit_are_named(column: str, value: Any, named: str) -> None:
    with pytest.raises(DataError, match=named):
        request_of({**ROWS, column: [*ROWS[column][:3], value, *ROWS[column][4:]]})


@pytest.mark.parametrize(
    ("column", "array"),
    [
        ("user", pa.array([1.0] * 6)),
        ("user", pa.array(["a"] * 6)),
        ("user", pa.array([2**63] * 6, pa.uint64())),
        ("price", pa.array(["a"] * 6)),
        ("country", pa.array([1] * 6)),
        ("seen", pa.array([1] * 6)),
        ("seen", pa.array([["a"]] * 6)),
        ("tags", pa.array([[1]] * 6)),
    ],
)
def test_arrow_types_that_do_not_fit_are_named(column: str, array: pa.Array) -> None:
    rows = table()
    with pytest.raises(DataError, match=f"`{column}` cannot be read as .* type"):
        request_of(rows.set_column(rows.schema.get_field_index(column), column, array))


def test_all_missing_columns_are_named() -> None:
    with pytest.raises(DataError, match="no `user`, `seen`"):
        request_of({name: values for name, values in ROWS.items() if name not in ("user", "seen")})
    with pytest.raises(DataError, match="no `days`, `price`, `seen`"):
        request_of(table().drop_columns(["price", "days", "seen"]))


def test_columns_of_unequal_length_and_columns_twice_are_named() -> None:
    with pytest.raises(DataError, match="`user` 5"):
        request_of({**ROWS, "user": HUGE[:5]})
    with pytest.raises(DataError, match="twice.*`user`"):
        request_of(table().append_column("user", pa.array([1] * 6)))
    with pytest.raises(DataError, match="twice.*`user`"):
        request_of(pd.concat([table().to_pandas(), pd.DataFrame({"user": [1] * 6})], axis=1))


def test_other_objects_are_refused() -> None:
    with pytest.raises(DataError, match="Rows of this type"):
        request_of([1, 2])
    with pytest.raises(DataError, match="`price` are not a list"):
        request_of({**ROWS, "price": "abc"})
    with pytest.raises(DataError, match="several types"):
        request_of(table().to_pandas().assign(user=[1, "a", None, 2, 3, 4]))
