"""Joins: left, by a unique key, every type and every bit kept."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data.log import LogFiles, available_columns
from mtrec.errors import DataError
from mtrec.schema import Join

WIDE = [2**53 + 1, 2**60 + 1, -1, -(2**63), 2**63 - 1]


def write(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def joined(tmp_path: Path, rows: dict[str, Any], items: dict[str, Any], needed: list[str], on: str | list[str] = "item") -> pa.Table:
    source, side = write(tmp_path / "log.parquet", **rows), write(tmp_path / "items.parquet", **items)
    log = LogFiles(source, needed, [Join.model_validate({"source": side, "on": on})])
    found = pa.concat_tables(log.slices(2))
    assert found.schema == log.schema
    return found


def test_rows_keep_their_order_and_get_null_without_a_partner(tmp_path: Path) -> None:
    found = joined(tmp_path, {"item": [3, 1, None, 9, 3]}, {"item": [1, 2, 3], "price": [0.1, 0.2, 0.3]}, ["item", "price"])
    assert found.to_pydict() == {"item": [3, 1, None, 9, 3], "price": [0.3, 0.1, None, None, 0.3]}


def test_keys_and_values_keep_64_bits(tmp_path: Path) -> None:
    shifted = [*WIDE[1:], WIDE[0]]
    found = joined(tmp_path, {"item": [*WIDE, None]}, {"item": WIDE, "next": shifted}, ["next"])
    assert found["next"].to_pylist() == [*shifted, None]


def test_types_come_through_unchanged(tmp_path: Path) -> None:
    items = {
        "item": [1, 2],
        "clock": pa.array([0, 1], pa.timestamp("ms", "Asia/Shanghai")),
        "kind": pa.array(["a", None]).dictionary_encode(),
        "tags": [["x"], []],
        "small": pa.array([1, None], pa.int8()),
    }
    found = joined(tmp_path, {"item": [2, 7, 1]}, items, ["clock", "kind", "tags", "small"])
    expected = pa.table(items).drop_columns("item")
    assert found.schema == expected.schema
    assert found.to_pylist()[::2] == expected.to_pylist()[::-1]
    assert set(found.to_pylist()[1].values()) == {None}


def test_a_key_of_several_columns(tmp_path: Path) -> None:
    items = {"shop": ["a", "a", "b"], "item": [1, 2, 1], "price": [1.0, 2.0, 3.0]}
    found = joined(tmp_path, {"item": [1, 2, 2], "shop": ["b", "a", "b"]}, items, ["price"], on=["shop", "item"])
    assert found["price"].to_pylist() == [3.0, 2.0, None]


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pa.array([1, 2], pa.int32()), pa.array([2, 1], pa.int64())),
        (pa.array([1, 2], pa.int64()), pa.array([2, 1], pa.uint8())),
        (pa.array(["x", "y"]).dictionary_encode(), pa.array(["y", "x"], pa.large_string())),
    ],
)
def test_keys_of_one_kind_meet_whatever_their_width(left: pa.Array, right: pa.Array, tmp_path: Path) -> None:
    assert joined(tmp_path, {"item": left}, {"item": right, "n": [1, 2]}, ["n"])["n"].to_pylist() == [2, 1]


def test_keys_of_different_kinds_are_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the key 'item' is large_string in the join of .*items.parquet, in the log int64"):
        joined(tmp_path, {"item": [1]}, {"item": ["1"], "n": [1]}, ["n"])


def test_a_key_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not unique .*items\.parquet.*2 rows whose item"):
        joined(tmp_path, {"item": [1]}, {"item": [1, 2, 1], "n": [1, 2, 3]}, ["n"])


def test_a_missing_key_is_a_fault_on_either_side(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"lacks its key.*items\.parquet"):
        joined(tmp_path, {"item": [1]}, {"other": [1], "n": [1]}, ["n"])
    with pytest.raises(DataError, match=r"log\.parquet has no column 'item'"):
        joined(tmp_path, {"x": [1]}, {"item": [1], "n": [1]}, ["n"])


def test_the_column_of_the_log_wins_over_that_of_a_join(tmp_path: Path) -> None:
    rows, items = {"item": [1], "kind": ["of the log"]}, {"item": [1], "kind": [7]}
    assert joined(tmp_path, rows, items, ["kind"]).to_pydict() == {"kind": ["of the log"]}
    join = Join.model_validate({"source": str(tmp_path / "items.parquet"), "on": "item"})
    assert available_columns(str(tmp_path / "log.parquet"), [join]) == pa.table(rows).schema


def test_a_column_of_two_joins_is_a_fault(tmp_path: Path) -> None:
    source = write(tmp_path / "log.parquet", item=[1], shop=[1])
    joins = [
        Join.model_validate({"source": write(tmp_path / f"{on}.parquet", **{on: [1], "price": [1.0], "own " + on: [2.0]}), "on": on})
        for on in ("item", "shop")
    ]
    with pytest.raises(DataError, match="more than one join has a column 'price'"):
        LogFiles(source, ["price"], joins)
    both = pa.concat_tables(LogFiles(source, ["own item", "own shop"], joins).slices())
    assert both.to_pydict() == {"own item": [2.0], "own shop": [2.0]}


def test_a_damaged_or_odd_file_of_a_join_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", item=[1], n=[1])
    join = Join.model_validate({"source": f"{tmp_path}/*.parquet", "on": "item"})
    write(tmp_path / "b.parquet", item=[2])
    with pytest.raises(DataError, match=r"differ in their columns .*b\.parquet"):
        available_columns(str(tmp_path / "a.parquet"), [join])
    (tmp_path / "b.parquet").write_bytes(b"text")
    with pytest.raises(DataError, match=r"b\.parquet"):
        available_columns(str(tmp_path / "a.parquet"), [join])


def test_a_join_may_be_tab_separated_text(tmp_path: Path) -> None:
    source = write(tmp_path / "log.parquet", item=[1, 2])
    (tmp_path / "items.tsv").write_text("item\tkind\n1\tone\n2\ttwo, or so\n")
    log = LogFiles(source, ["kind"], [Join.model_validate({"source": str(tmp_path / "items.tsv"), "on": "item"})])
    assert pa.concat_tables(log.slices())["kind"].to_pylist() == ["one", "two, or so"]


def test_the_digest_sees_the_join(tmp_path: Path) -> None:
    def digest(price: float) -> str:
        source, side = write(tmp_path / "log.parquet", item=[1]), write(tmp_path / "items.parquet", item=[1], price=[price])
        return LogFiles(source, ["price"], [Join.model_validate({"source": side, "on": "item"})]).digest()

    assert digest(1.0) == digest(1.0) != digest(2.0)
