"""The rows that come next, beside the train rows."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data import log as log_module
from mtrec.data import shuffle
from mtrec.data.log import LogFiles
from mtrec.data.prepared import write_rows
from mtrec.data.reader import FILLER, Reader
from mtrec.data.split import Splitter
from mtrec.history.sessions import SessionLinks
from mtrec.schema import Log, Task

LOG = Log.model_validate({"source": "x", "roles": {"session": "visit", "time": "ts", "weight": "w"}, "split": {"by": "column", "column": "split"}})
NUM_ROWS = 600


class Shown(NamedTuple):
    numbers: np.ndarray
    ids: list[tuple[np.ndarray, np.ndarray]]


class Plain:
    """The number x, and a list id of x mod 3 times x."""

    def observe(self, table: pa.Table, row_hash: np.ndarray) -> None: ...
    def finish(self) -> None: ...
    def encode(self, table: pa.Table) -> Shown:
        x = table["x"].to_numpy()
        return Shown(x[:, None].astype(np.float32), [(np.repeat(x, x % 3), x % 3)])


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    random = np.random.default_rng(0)
    return pa.table(
        {
            "x": np.arange(NUM_ROWS),
            "visit": random.integers(0, 90, NUM_ROWS),
            "ts": random.permutation(NUM_ROWS),
            "split": np.array(["train", "train", "train", "valid"])[random.integers(0, 4, NUM_ROWS)],
            "click": pa.array(random.integers(0, 2, NUM_ROWS), mask=random.random(NUM_ROWS) < 0.1),
            "w": 0.5 + random.random(NUM_ROWS),
        }
    )


def write(folder: Path, rows: pa.Table) -> Path:
    pq.write_table(rows, folder / "log.parquet")
    out = folder / "out"
    out.mkdir(parents=True)
    log = LogFiles(str(folder / "log.parquet"), rows.column_names)
    tasks = {"click": Task.model_validate({"label": "click"})}
    write_rows(log, Splitter(LOG, log.schema, 0), Plain(), tasks, LOG, [True], 5, out, lambda *_: None, (), SessionLinks(LOG, out / "sessions"))
    return out


def next_of(rows: pa.Table) -> dict[int, int | None]:
    """By place of a train row that of the next, by a loop."""
    values = rows.to_pydict()
    found: dict[int, int | None] = {}
    for row in (row for row in range(NUM_ROWS) if values["split"][row] == "train"):
        later = [o for o in range(NUM_ROWS) if values["split"][o] == "train" and values["visit"][o] == values["visit"][row]]
        later = [o for o in later if values["ts"][o] > values["ts"][row]]
        found[row] = min(later, key=lambda o: values["ts"][o]) if later else None
    return found


def test_each_train_row_has_its_next_row_beside_it(tmp_path: Path, rows: pa.Table) -> None:
    out = write(tmp_path, rows)
    assert not (out / "sessions").exists()
    expected, of_row = next_of(rows), {row["row"]: row for row in pq.read_table(out / "train.parquet").to_pylist()}
    assert 0 < sum(value is None for value in expected.values()) < len(expected)
    beside = pq.read_table(out / "followers.parquet").to_pylist()
    assert len(beside) == len(of_row)
    for (row, own), found in zip(of_row.items(), beside, strict=True):
        follower = expected[row]
        assert found == (of_row[follower] if follower is not None else {**own, "y.0": None, "w": 0.0, "row": FILLER})


def test_readers_of_both_files_keep_step(tmp_path: Path, rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shuffle, "ROW_GROUP", 64)
    monkeypatch.setattr(shuffle, "_ROWS_PER_BUCKET", 50)
    monkeypatch.setattr(log_module, "ROWS_PER_SLICE", 37)
    out, expected = write(tmp_path, rows), next_of(rows)
    for options in ({}, {"rank": 1, "world_size": 2}):
        readers: list[Any] = [Reader(out / f"{name}.parquet", 50, 3, **options) for name in ("train", "followers")]
        assert readers[0].num_rows == readers[1].num_rows > 64
        for own, following in zip(*(reader.epoch(1, 100) for reader in readers), strict=True):
            assert own.cursor == following.cursor
            wanted = [FILLER if row == FILLER or expected[row] is None else expected[row] for row in own.row.tolist()]
            assert following.row.tolist() == wanted
            assert not following.label_mask[following.row == FILLER].any()
