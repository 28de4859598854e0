"""Reading a log: slices, types, and all faults of its columns in one report."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from mtrec.data import log as log_module
from mtrec.data.log import LogFiles, available_columns
from mtrec.errors import DataError

WIDE = [2**53 + 1, None, 2**60 + 1, -1, -(2**63), 2**63 - 1]


def write(path: Path, **columns: Any) -> str:
    pq.write_table(pa.table(columns), path, write_page_checksum=True)
    return str(path)


def rows_of(log: LogFiles, rows: int | None = None) -> pa.Table:
    return pa.concat_tables(log.slices(rows))


def test_slices_hold_all_rows_in_file_order_and_no_more_than_asked(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=list(range(10)))
    write(tmp_path / "b.parquet", x=list(range(10, 15)))
    log = LogFiles(str(tmp_path), ["x"])
    slices = list(log.slices(4))
    assert [table.num_rows for table in slices] == [4, 4, 2, 4, 1]
    assert pa.concat_tables(slices)["x"].to_pylist() == list(range(15))


def test_slices_of_text_files_are_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "ROWS_PER_SLICE", 4)
    pa.csv.write_csv(pa.table({"x": list(range(10))}), tmp_path / "a.csv")
    slices = list(LogFiles(str(tmp_path), ["x"]).slices())
    assert max(table.num_rows for table in slices) == 4
    assert pa.concat_tables(slices)["x"].to_pylist() == list(range(10))


def test_only_the_columns_asked_for_are_read_in_their_order(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", **{"past": [1], "extra": ["e"], "past.n": [2], "b": [3]})
    log = LogFiles(str(tmp_path), ["b", "past", "b", "past.n"])
    assert rows_of(log).to_pydict() == {"b": [3], "past": [1], "past.n": [2]}
    assert log.schema.names == ["b", "past", "past.n"]


def test_columns_that_only_some_files_have_are_ignored_unless_needed(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1])
    write(tmp_path / "b.parquet", y=[9], x=[2])
    assert rows_of(LogFiles(str(tmp_path), ["x"])).to_pydict() == {"x": [1, 2]}


def test_a_file_without_rows_among_others(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=pa.array([], pa.int64()))
    write(tmp_path / "b.parquet", x=[1, 2])
    assert rows_of(LogFiles(str(tmp_path), ["x"])).to_pydict() == {"x": [1, 2]}


def test_a_text_file_with_a_header_alone_takes_its_types_from_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,name\n")
    (tmp_path / "b.csv").write_text("x,name\n1,n\n")
    assert available_columns(str(tmp_path)) == pa.schema([("x", pa.int64()), ("name", pa.string())])
    assert rows_of(LogFiles(str(tmp_path), ["x", "name"])).to_pydict() == {"x": [1], "name": ["n"]}


def test_a_column_that_is_null_throughout_a_file_fits_every_type(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=pa.nulls(2), many=pa.nulls(2), y=[1, 2])
    write(tmp_path / "b.parquet", x=["n"], many=[[1]], y=[3])
    found = rows_of(LogFiles(str(tmp_path), ["x", "many", "y"]))
    assert found.to_pydict() == {"x": [None, None, "n"], "many": [None, None, [1]], "y": [1, 2, 3]}
    assert available_columns(str(tmp_path)).field("x").type == pa.string()


def test_whole_numbers_and_fractions_of_text_files_are_one_type(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("price\n3\n")
    (tmp_path / "b.csv").write_text("price\n3.5\n")
    assert rows_of(LogFiles(str(tmp_path), ["price"])).to_pydict() == {"price": [3.0, 3.5]}


def test_all_faults_stand_in_one_report(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", x=[1], y=["t"], z=[1.0])
    write(tmp_path / "b.parquet", x=[1], z=[1.0])
    write(tmp_path / "c.parquet", x=["text"], y=["t"], z=[1])
    with pytest.raises(DataError) as raised:
        LogFiles(str(tmp_path), ["x", "y", "z", "nowhere"])
    report = str(raised.value)
    for part in (
        "b.parquet has no column 'y'",
        "c.parquet: column 'x' is string",
        "a.parquet int64",
        "c.parquet: column 'z' is int64",
        "a.parquet has no column 'nowhere'",
        "c.parquet has no column 'nowhere'",
    ):
        assert part in report


def test_text_files_of_other_types_are_told_before_a_row_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user\n17\n")
    (tmp_path / "b.csv").write_text("user\nanna\n")
    with pytest.raises(DataError, match=r"b\.csv: column 'user' is string, in .*a\.csv int64"):
        LogFiles(str(tmp_path), ["user"])


def test_a_column_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,x\n1,2\n")
    with pytest.raises(DataError, match="has 2 columns 'x'"):
        LogFiles(str(tmp_path), ["x"])


def test_a_value_that_breaks_the_guessed_type_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtrec.data.files._CSV_BLOCK", 64)
    (tmp_path / "a.csv").write_text("x\n" + "1\n" * 100 + "one\n")
    with pytest.raises(DataError, match=r"a\.csv.*one"):
        list(LogFiles(str(tmp_path), ["x"]).slices())


@pytest.mark.parametrize("position", range(0, 2000, 97))
def test_a_flipped_bit_in_a_page_is_never_read(position: int, tmp_path: Path) -> None:
    file = Path(write(tmp_path / "a.parquet", x=list(range(0, 9_000_000, 9001))))
    content = bytearray(file.read_bytes())
    content[60 + position] ^= 16
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.parquet"):
        list(LogFiles(str(file), ["x"]).slices())


@pytest.mark.parametrize("form", ["parquet", "csv", "csv.gz"])
def test_whole_numbers_with_nulls_keep_64_bits(form: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.{form}"
    rows = pa.table({"id": WIDE, "n": range(len(WIDE))})
    if form == "parquet":
        pq.write_table(rows, file)
    else:
        pa.csv.write_csv(rows, tmp_path / "plain")
        text = (tmp_path / "plain").read_bytes()
        file.write_bytes(gzip.compress(text) if form == "csv.gz" else text)
    found = rows_of(LogFiles(str(file), ["id"]), 2)
    assert found.schema.field("id").type == pa.int64()
    assert found["id"].to_pylist() == WIDE


def test_the_digest_is_of_the_bytes_of_all_files(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.parquet", x=[1]), write(tmp_path / "b.parquet", x=[2])
    whole = LogFiles([first, second], ["x"]).digest()
    assert LogFiles(str(tmp_path), ["x"]).digest() == LogFiles(f"file://{tmp_path}", ["x"]).digest() == whole
    assert LogFiles(first, ["x"]).digest() != whole
    write(tmp_path / "b.parquet", x=[3])
    assert LogFiles([first, second], ["x"]).digest() != whole
