"""What `log.sample` leaves out, and what the rows that stay stand for."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.data import log as log_module
from mtrec.data.log import LogFiles
from mtrec.data.prepared import Facts, write_rows
from mtrec.data.slices import Slice, read_slices
from mtrec.data.split import Splitter, row_hash
from mtrec.schema import Log, Task

NUM_ROWS = 6000
TASKS = {
    "click": Task.model_validate({"label": "click"}),
    "buy": Task.model_validate({"label": "buy", "given": "click"}),
    "spend": Task.model_validate({"label": "spend", "kind": "regression"}),
}


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    random = np.random.default_rng(3)
    click = random.random(NUM_ROWS) < 0.2
    columns = {
        "split": np.array(["train", "train", "valid", "test"])[random.integers(0, 4, NUM_ROWS)],
        "click": pa.array(click, mask=random.random(NUM_ROWS) < 0.1),
        "buy": pa.array(random.random(NUM_ROWS) < 0.5),
        "spend": random.normal(5, 2, NUM_ROWS) + 3 * click,
        "w": random.choice([0.5, 2.0], NUM_ROWS),
        "kept": random.choice([0.25, 1.0], NUM_ROWS),
    }
    return pa.table({"x": np.arange(NUM_ROWS), **columns})


def section(negatives: float | None, task: str = "click", **roles: str) -> Log:
    sample = {"sample": {"task": task, "negatives": negatives}} if negatives is not None else {}
    return Log.model_validate({"source": "x", "roles": roles, "split": {"by": "column", "column": "split"}, **sample})


def read(folder: Path, rows: pa.Table, given: Log, seed: int = 0) -> list[Slice]:
    pq.write_table(rows, folder / "log.parquet")
    log = LogFiles(str(folder / "log.parquet"), rows.column_names)
    return list(read_slices(log, Splitter(given, log.schema, 0), TASKS, given, seed))


def joined(slices: list[Slice]) -> dict[str, Any]:
    names = ("row", "hashes", "splits")
    whole = {name: np.concatenate([getattr(each, name) for each in slices]) for name in names}
    return {**whole, "weight": np.concatenate([each.weights.weight for each in slices]), "table": pa.concat_tables([each.table for each in slices])}


def test_only_known_negatives_of_train_are_left_out(tmp_path: Path, rows: pa.Table) -> None:
    slices = read(tmp_path, rows, section(0.3))
    found = joined(slices)
    assert sum(each.num_read for each in slices) == NUM_ROWS
    assert found["table"].equals(rows.take(pa.array(found["row"])))
    assert np.array_equal(found["hashes"], row_hash(0, NUM_ROWS, 0)[found["row"]])
    frame = rows.to_pandas()
    may_go = (frame["split"] == "train") & frame["click"].eq(False)
    assert set(np.flatnonzero(~may_go)) <= set(found["row"])
    num_stay = int(may_go[found["row"]].sum())
    assert abs(num_stay - 0.3 * may_go.sum()) < 4 * np.sqrt(may_go.sum() * 0.3 * 0.7)
    assert np.array_equal(found["weight"], np.where(may_go[found["row"]], np.float32(1 / 0.3), np.float32(1)))


def test_who_stays_depends_on_the_seed_alone(tmp_path: Path, rows: pa.Table, monkeypatch: pytest.MonkeyPatch) -> None:
    first = joined(read(tmp_path, rows, section(0.3)))["row"]
    assert not np.array_equal(first, joined(read(tmp_path, rows, section(0.3), seed=1))["row"])
    more = joined(read(tmp_path, rows, section(0.6)))["row"]
    assert set(first) < set(more)
    monkeypatch.setattr(log_module, "ROWS_PER_SLICE", 77)
    assert np.array_equal(first, joined(read(tmp_path, rows, section(0.3)))["row"])


def test_who_stays_does_not_depend_on_the_order_of_training(tmp_path: Path, rows: pa.Table) -> None:
    found = joined(read(tmp_path, rows, section(0.3)))
    whole = joined(read(tmp_path, rows, section(1.0)))
    frame = rows.to_pandas()
    may_go = np.flatnonzero((frame["split"] == "train") & (frame["click"] == False))  # noqa: E712
    early = whole["hashes"][may_go] < np.median(whole["hashes"][may_go])
    stays = np.isin(may_go, found["row"])
    assert abs(stays[early].mean() - stays[~early].mean()) < 4 * np.sqrt(2 * 0.3 * 0.7 / early.sum())


def test_all_negatives_are_all_rows(tmp_path: Path, rows: pa.Table) -> None:
    whole, found = joined(read(tmp_path, rows, section(None, weight="w"))), joined(read(tmp_path, rows, section(1.0, weight="w")))
    assert np.array_equal(whole["row"], found["row"]) and np.array_equal(whole["weight"], found["weight"])


def test_weight_rate_and_sample_multiply(tmp_path: Path, rows: pa.Table) -> None:
    found = joined(read(tmp_path, rows, section(0.3, weight="w", sampling_rate="kept")))
    frame = rows.to_pandas().iloc[found["row"]]
    drawn = (frame["split"] == "train") & frame["click"].eq(False)
    expected = frame["w"] / frame["kept"] / np.where(drawn, 0.3, 1.0)
    assert found["weight"] == pytest.approx(expected.to_numpy(), rel=1e-6)


def test_a_task_that_is_given_another_has_negatives_where_that_one_is_one(tmp_path: Path, rows: pa.Table) -> None:
    found = joined(read(tmp_path, rows, section(0.3, task="buy")))
    frame = rows.to_pandas()
    gone = np.setdiff1d(np.arange(NUM_ROWS), found["row"])
    assert len(gone) > 0 and frame["click"][gone].eq(True).all() and frame["buy"][gone].eq(False).all()


class Nothing(tuple[()]):
    """An encoder of no inputs."""

    numbers = np.zeros((0, 0), dtype=np.float32)
    ids: list[Any] = []

    def observe(self, table: pa.Table, row_hash: Any) -> None: ...
    def finish(self) -> None: ...
    def encode(self, table: pa.Table) -> "Nothing":
        return self


def facts_of(folder: Path, rows: pa.Table, given: Log) -> Facts:
    folder.mkdir()
    pq.write_table(rows, folder / "log.parquet")
    log = LogFiles(str(folder / "log.parquet"), rows.column_names)
    return write_rows(log, Splitter(given, log.schema, 0), Nothing(), TASKS, given, [], 0, folder, lambda stage, count: None)


def test_facts_are_those_of_the_log_before_it_was_sampled(tmp_path: Path, rows: pa.Table) -> None:
    whole, part = facts_of(tmp_path / "whole", rows, section(None)), facts_of(tmp_path / "part", rows, section(0.3))
    assert whole.sampling is None
    assert part.sampling == {"task": "click", "negatives": 0.3, "rows": part.rows["train"], "of": whole.rows["train"]}
    assert part.rows["train"] < whole.rows["train"] and part.tasks["valid"] == whole.tasks["valid"] and part.tasks["test"] == whole.tasks["test"]
    assert part.tasks["train"]["click"]["known"] < whole.tasks["train"]["click"]["known"]
    assert part.tasks["train"]["buy"] == whole.tasks["train"]["buy"]  # None of its rows is left out.
    # Positives are all there and negatives are drawn: the mean is off by what the number of the drawn ones is.
    for task, width in (("click", 0.01), ("spend", 0.15)):
        assert part.tasks["train"][task]["mean"] == pytest.approx(whole.tasks["train"][task]["mean"], abs=width)
        assert part.tasks["train"][task]["deviation"] == pytest.approx(whole.tasks["train"][task]["deviation"], abs=width)


def test_facts_of_rows_with_rates_are_weighted_means(tmp_path: Path, rows: pa.Table) -> None:
    facts = facts_of(tmp_path / "rates", rows, section(None, sampling_rate="kept", weight="w"))
    frame = rows.to_pandas()
    for split, part in frame.groupby("split"):
        mean = np.average(part["spend"], weights=1 / part["kept"])
        found = facts.tasks[str(split)]["spend"]
        assert found["known"] == len(part) and found["mean"] == pytest.approx(mean, rel=1e-6)
        assert found["deviation"] == pytest.approx(np.sqrt(np.average((part["spend"] - mean) ** 2, weights=1 / part["kept"])), rel=1e-6)
