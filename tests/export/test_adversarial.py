"""Hard variants are what their names say, and keep lists that stand side by side equally long."""

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mtrec.export.adversarial import hard_variants
from mtrec.request import Input, Rows
from tests.export.small_model import make_log, small_model


@pytest.fixture(scope="module")
def inputs() -> list[Input]:
    return [Input(each["column"], each["kind"], each.get("aligned_to")) for each in small_model().feature_set.signature()]


@pytest.fixture(scope="module")
def variants(inputs: list[Input]) -> dict[str, pa.Table]:
    return dict(hard_variants(make_log(50), inputs))


def test_all_variants_are_readable_and_keep_other_columns(variants: dict[str, pa.Table], inputs: list[Input]) -> None:
    assert list(variants) == ["given", "null", "partly null", "empty list", "unseen"]
    for rows in variants.values():
        assert rows.column("row_id").equals(make_log(50).column("row_id"))
        Rows(rows, inputs).request()  # refuses lists of unequal length
        small_model().feature_set.encode(rows)


def test_null_rows_hold_nothing(variants: dict[str, pa.Table], inputs: list[Input]) -> None:
    assert all(variants["null"].column(each.column).null_count == 50 for each in inputs)
    assert all(0 < variants["partly null"].column(each.column).null_count < 50 for each in inputs)


def test_empty_lists_are_empty_and_not_null(variants: dict[str, pa.Table]) -> None:
    for name in ("seen", "days_ago", "tags"):
        assert pc.list_value_length(variants["empty list"].column(name)).unique().to_pylist() == [0]


def test_unseen_ids_are_not_in_the_log(variants: dict[str, pa.Table]) -> None:
    for name in ("user_id", "item_id", "url"):
        assert not set(variants["unseen"].column(name).to_pylist()) & set(make_log(400).column(name).to_pylist())
    extremes = set(variants["unseen"].column("user_id").to_pylist())
    assert {-(2**63), 2**63 - 2} <= extremes


def test_fixed_size_lists_and_no_lists_are_handled() -> None:
    rows = pa.table({"pair": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2))})
    assert len(dict(hard_variants(rows, [Input("pair", "id_list")]))) == 5
    assert "empty list" not in dict(hard_variants(pa.table({"x": [1.0]}), [Input("x", "number")]))
