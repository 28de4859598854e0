"""Row groups of one size, and the order of a hash."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data import shuffle
from mtrec.data.shuffle import HashOrder, RowGroups


def groups(path: Path) -> list[int]:
    meta = pq.read_metadata(path)
    return [meta.row_group(index).num_rows for index in range(meta.num_row_groups)]


def test_all_groups_but_the_last_are_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle, "ROW_GROUP", 4)
    with RowGroups(tmp_path / "a.parquet") as out:
        for start, stop in ((0, 3), (3, 3), (3, 14), (14, 15)):
            out.add(pa.table({"x": np.arange(start, stop)}))
    assert groups(tmp_path / "a.parquet") == [4, 4, 4, 3]
    assert pq.read_table(tmp_path / "a.parquet")["x"].to_pylist() == list(range(15))


def test_no_rows_make_no_file(tmp_path: Path) -> None:
    with RowGroups(tmp_path / "a.parquet") as out:
        out.add(pa.table({"x": np.zeros(0)}))
    with HashOrder(tmp_path / "b.parquet", 0):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rows_per_bucket", [10, 10_000])
def test_rows_come_out_in_the_order_of_their_hash(rows_per_bucket: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle, "_ROWS_PER_BUCKET", rows_per_bucket)
    hashes = np.random.default_rng(0).integers(0, 2**64, 500, dtype=np.uint64)
    hashes[:3] = 0, 2**64 - 1, 2**63
    many = pa.array([[index] * (index % 3) for index in range(500)])
    with HashOrder(tmp_path / "a.parquet", 500) as out:
        for place in np.array_split(np.arange(500), 7):
            out.add(pa.table({"x": place, "many": many.take(pa.array(place))}), hashes[place])
    expected = np.argsort(hashes)
    found = pq.read_table(tmp_path / "a.parquet")
    assert found.column_names == ["x", "many"]
    assert found["x"].to_pylist() == expected.tolist()
    assert found["many"].to_pylist() == many.take(pa.array(expected)).to_pylist()
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_an_error_leaves_no_buckets_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on the way"), HashOrder(tmp_path / "a.parquet", 5) as out:
        out.add(pa.table({"x": [1]}), np.zeros(1, np.uint64))
        raise RuntimeError("on the way")
    assert list(tmp_path.iterdir()) == []
