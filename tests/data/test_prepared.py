"""Writing a prepared log with an encoder that only writes down what it is shown."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data import log as log_module
from mtrec.data.log import LogFiles
from mtrec.data.prepared import Facts, Sample, write_rows
from mtrec.data.split import Splitter, row_hash
from mtrec.errors import DataError
from mtrec.schema import Log, Task

TASKS = {"click": Task.model_validate({"label": "click"}), "spend": Task.model_validate({"label": "spend", "kind": "regression", "given": "click"})}
NAMES = np.array(["train", "train", "valid", "test"])


class Shown(NamedTuple):
    numbers: np.ndarray
    ids: list[tuple[np.ndarray, np.ndarray]]


class Recorder:
    """One number, x; one id, x where it is even; one list id, x times x where it is below 3."""

    def __init__(self) -> None:
        self.observed: list[int] = []
        self.hashes: list[int] = []
        self.most_rows = 0
        self.finished = False

    def observe(self, table: pa.Table, row_hash: np.ndarray) -> None:
        assert not self.finished
        self._look(table)
        self.observed += table["x"].to_pylist()
        self.hashes += row_hash.tolist()

    def finish(self) -> None:
        self.finished = True

    def encode(self, table: pa.Table) -> Shown:
        assert self.finished
        self._look(table)
        x = table["x"].to_numpy()
        lengths = np.where(x < 3, x, 0)
        return Shown(x[:, None].astype(np.float32), [(x[x % 2 == 0], (x % 2 == 0).astype(np.int64)), (np.repeat(x, lengths), lengths)])

    def _look(self, table: pa.Table) -> None:
        self.most_rows = max(self.most_rows, table.num_rows)


def log_of(num_rows: int) -> pa.Table:
    random = np.random.default_rng(1)
    click = random.random(num_rows) < 0.5
    return pa.table(
        {
            "x": np.arange(num_rows),
            "split": NAMES[random.integers(0, 4, num_rows)],
            "click": pa.array(click, mask=random.random(num_rows) < 0.2),
            "spend": pa.array(random.normal(5, 2, num_rows), mask=random.random(num_rows) < 0.2),
            "w": random.random(num_rows),
        }
    )


def write(folder: Path, rows: pa.Table, files: int = 1, **section: Any) -> tuple[Facts, Recorder, Path]:
    (folder / "log").mkdir(parents=True, exist_ok=True)
    for index, places in enumerate(np.array_split(np.arange(len(rows)), files)):
        pq.write_table(rows.take(pa.array(places)), folder / "log" / f"{index}.parquet")
    out = folder / "out"
    out.mkdir()
    log = LogFiles(str(folder / "log"), rows.column_names)
    given = Log.model_validate({"source": "x", "roles": {"weight": "w"}, "split": {"by": "column", "column": "split"}, **section})
    splitter = Splitter(given, log.schema, 0)
    recorder = Recorder()
    done: list[tuple[str, int]] = []
    facts = write_rows(log, splitter, recorder, TASKS, given, [False, True], 5, out, lambda stage, count: done.append((stage, count)))
    assert {stage: sum(count for name, count in done if name == stage) for stage in ("fit", "encode")} == dict.fromkeys(("fit", "encode"), len(rows))
    return facts, recorder, out


def test_the_encoder_is_fitted_on_train_rows_alone(tmp_path: Path) -> None:
    rows = log_of(500)
    _, recorder, _ = write(tmp_path, rows)
    train = np.flatnonzero(np.array(rows["split"].to_pylist()) == "train")
    assert recorder.observed == train.tolist()
    assert recorder.hashes == row_hash(0, 500, 5)[train].tolist()


def test_train_lies_in_hash_order_and_the_rest_as_it_came(tmp_path: Path) -> None:
    rows = log_of(500)
    _, _, out = write(tmp_path, rows)
    splits, hashes = np.array(rows["split"].to_pylist()), row_hash(0, 500, 5)
    train = np.flatnonzero(splits == "train")
    assert pq.read_table(out / "train.parquet")["row"].to_pylist() == train[np.argsort(hashes[train])].tolist()
    for split in ("valid", "test"):
        assert pq.read_table(out / f"{split}.parquet")["row"].to_pylist() == np.flatnonzero(splits == split).tolist()


def test_what_is_written_of_each_row(tmp_path: Path) -> None:
    rows = log_of(40)
    _, _, out = write(tmp_path, rows)
    raw = {row["x"]: row for row in rows.to_pylist()}
    written = [row for split in ("train", "valid", "test") for row in pq.read_table(out / f"{split}.parquet").to_pylist()]
    assert sorted(row["row"] for row in written) == sorted(raw)
    for row in written:
        x, source = row["row"], raw[row["row"]]
        assert (row["n.0"], row["i.0"], row["i.1"]) == (float(x), x if x % 2 == 0 else None, [x] * x if x < 3 else [])
        assert row["y.0"] == (None if source["click"] is None else float(source["click"]))
        known = source["click"] is True and source["spend"] is not None
        assert row["y.1"] == (float(np.float32(source["spend"])) if known else None)
        assert row["w"] == np.float32(source["w"])


def test_slices_bound_what_is_held_and_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = log_of(900)
    whole_facts, _, whole = write(tmp_path / "whole", rows)
    monkeypatch.setattr(log_module, "ROWS_PER_SLICE", 64)
    facts, recorder, out = write(tmp_path / "sliced", rows, files=3)
    assert recorder.most_rows == 64
    assert facts.rows == whole_facts.rows
    for split in ("train", "valid", "test", "sample"):
        assert pq.read_table(out / f"{split}.parquet").equals(pq.read_table(whole / f"{split}.parquet"))


def test_facts_are_those_of_pandas(tmp_path: Path) -> None:
    rows = log_of(900)
    facts, _, _ = write(tmp_path, rows)
    frame = rows.to_pandas().assign(click=lambda each: each["click"].astype("Float64"))
    for split, part in frame.groupby("split"):
        spend = part["spend"][part["click"] == 1].dropna()
        expected = {"click": part["click"].dropna().astype(float), "spend": spend}
        assert facts.rows[str(split)] == len(part)
        for task, values in expected.items():
            found = facts.tasks[str(split)][task]
            assert found["known"] == len(values)
            assert found["mean"] == pytest.approx(values.mean(), rel=1e-6)
            assert found["deviation"] == pytest.approx(values.std(ddof=0), rel=1e-6)


def test_the_sample_is_of_held_out_rows_as_they_came(tmp_path: Path) -> None:
    rows = log_of(4000)
    _, _, out = write(tmp_path, rows)
    sample = pq.read_table(out / "sample.parquet")
    hashes = row_hash(0, 4000, 5)
    test = np.flatnonzero(np.array(rows["split"].to_pylist()) == "test")
    assert sample.num_rows == 512
    assert sample.equals(rows.take(pa.array(test[np.argsort(hashes[test])[:512]])))


@pytest.mark.parametrize(("names", "expected"), [(["train", "valid"], 1), (["train"], 0)])
def test_without_test_rows_the_sample_is_of_the_next_best(names: list[str], expected: int, tmp_path: Path) -> None:
    rows = log_of(100)
    splits = pa.array((names * 100)[:100])
    _, _, out = write(tmp_path, rows.set_column(1, "split", splits))
    assert not (out / "test.parquet").exists()
    assert set(pq.read_table(out / "sample.parquet")["split"].to_pylist()) == {["train", "valid"][expected]}


def test_a_sample_of_more_than_there_is_holds_all() -> None:
    sample = Sample(10, "train")
    for start in (0, 3):
        sample.add(pa.table({"x": np.arange(start, start + 3)}), np.zeros(3, np.int8), row_hash(start, 3, 0))
    assert sorted(sample.table()["x"].to_pylist()) == list(range(6))


def refused(folder: Path, message: str, **changes: Any) -> None:
    rows = log_of(20)
    for name, values in changes.items():
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    with pytest.raises(DataError, match=message):
        write(folder, rows)


def test_logs_that_cannot_be_prepared(tmp_path: Path) -> None:
    refused(tmp_path / "a", "No row of the log falls into train.*'valid': 20", split=["valid"] * 20)
    refused(tmp_path / "b", "3 labels of task 'click'.*2.0", click=[2.0] * 3 + [1.0] * 17)
    refused(tmp_path / "c", "20 rows have no usable weight", w=[-1.0] * 20)


def test_a_log_without_rows_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"The log has no rows .*0\.parquet"):
        write(tmp_path, log_of(20).slice(0, 0))
