"""A prepared log, opened: its files are read whole or refused by name."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from mtrec.data.bundle import Prepared
from mtrec.errors import DataError


@pytest.fixture
def prepared(loaded: Any, tmp_path: Path) -> Prepared:
    return Prepared(shutil.copytree(loaded.prepared.path, tmp_path / "prepared"))


def test_row_groups_are_the_rows_of_the_reader(prepared: Prepared) -> None:
    for split in ("train", "valid", "test"):
        rows = pa.concat_tables(prepared.row_groups(split))["row"].to_pylist()
        assert rows == [row for batch in prepared.reader(split, 100).in_order() for row in batch.row.tolist()]
        assert len(rows) == prepared.rows[split] > 0
    (prepared.path / "test.parquet").unlink()  # As of a split without rows.
    assert list(prepared.row_groups("test")) == []


def test_a_truncated_file_is_refused_by_name(prepared: Prepared) -> None:
    reads = {
        "train.parquet": lambda: list(prepared.row_groups("train")),
        "test.parquet": lambda: list(prepared.row_groups("test")),
        "valid.columns.parquet": lambda: prepared.columns("valid"),
        "sample.parquet": prepared.sample,
    }
    for name, read in reads.items():
        content = (prepared.path / name).read_bytes()
        for size in (len(content) // 2, 0):
            (prepared.path / name).write_bytes(content[:size])
            with pytest.raises(DataError, match=rf"A prepared file is damaged \(.*/{name}\)\. Found: .*Remove the bundle and run prepare again"):
                read()
