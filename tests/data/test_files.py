"""Which files a source names, and what is said of one that cannot be read."""

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data.files import find_files, is_csv, read_schema, read_table
from mtrec.errors import DataError

ROWS = pa.table({"a": [1, 2, 3]})


def write(path: Path, rows: pa.Table = ROWS) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, path)
    return str(path)


def test_a_file_a_directory_a_glob_and_a_list(tmp_path: Path) -> None:
    second, first = write(tmp_path / "b.parquet"), write(tmp_path / "a.parquet")
    assert find_files(first) == [first]
    assert find_files(str(tmp_path)) == find_files(f"{tmp_path}/*.parquet") == [first, second]
    assert find_files([second, first]) == [second, first]


def test_a_file_that_two_sources_name_comes_once(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.parquet"), write(tmp_path / "b.parquet")
    assert find_files([second, f"{tmp_path}/*"]) == [second, first]


def test_files_that_writers_leave_behind_are_passed_over(tmp_path: Path) -> None:
    kept = [write(tmp_path / "day=1" / "a.parquet"), write(tmp_path / "day=2" / "a.parquet")]
    for name in ("_SUCCESS", ".a.crc", "_temporary/0/a.parquet", "day=1/.hidden/b.parquet"):
        write(tmp_path / name)
    assert find_files(str(tmp_path)) == kept


def test_a_file_named_outright_is_taken_whatever_its_name(tmp_path: Path) -> None:
    for name in ("_a.parquet", "a[1].parquet"):
        file = write(tmp_path / name)
        assert find_files(file) == [file]


@pytest.mark.parametrize("source", ["nothing", "nothing/*.parquet", "", "empty"])
def test_no_files_are_an_error_that_names_the_source(source: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no log here") as raised:
        find_files(str(tmp_path / "nothing" / source) if source != "empty" else str(tmp_path / source))
    assert str(tmp_path) in str(raised.value)


def test_urls_of_files_and_directories(tmp_path: Path) -> None:
    file = write(tmp_path / "with space" / "a.parquet")
    write(tmp_path / "with space" / "_SUCCESS")
    url = f"file://{file.replace(' ', '%20')}"
    assert find_files(f"file://{tmp_path}/with%20space") == find_files(url) == [url]
    assert read_table(url).equals(ROWS)


@pytest.mark.parametrize("url", ["nonsense://bucket/log", "file:///nowhere/at/all"])
def test_urls_that_lead_nowhere_are_named(url: str) -> None:
    with pytest.raises(DataError, match=url):
        find_files(url)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.parquet", b"not a Parquet file, but long enough to be looked at"),
        ("empty.parquet", b""),
        ("log.parquet.tmp", b"half a file"),
        ("empty.csv", b""),
        ("plain.csv.gz", b"a,b\n1,2\n"),
        ("cut.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 5000, mtime=0)[:40]),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_named(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_schema(str(tmp_path / name))


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    file = Path(write(tmp_path / "a.parquet"))
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"a\.parquet"):
        read_schema(str(file))


def test_text_files_with_commas_and_tabs_plain_and_compressed(tmp_path: Path) -> None:
    expected = pa.table({"id": [1, None, 3], "name": ["x", "y", None]})
    for name, sign in (("a.csv", ","), ("a.tsv", "\t"), ("a.csv.gz", ","), ("a.TSV.gz", "\t")):
        text = f"id{sign}name\n1{sign}x\n{sign}y\n3{sign}\n".encode()
        file = tmp_path / name
        file.write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        assert is_csv(str(file))
        for source in (str(file), f"file://{file}"):
            assert read_schema(source) == expected.schema
            assert read_table(source).equals(expected)
