"""From a log to a prepared bundle: fitted on train alone, shared by configurations that agree, damage told by name."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mtrec.config import Config, parse
from mtrec.data import log as log_module
from mtrec.data.bundle import Prepared
from mtrec.data.synthetic import impressions
from mtrec.errors import BundleError, DataError
from mtrec.jobs.prepare import load_features, prepare

WIDE = [2**53 + 1, 2**60 + 1, -1, -(2**63), 2**63 - 1]
BOUNDS = [1_700_000_000_000 + 60_000 * minute for minute in (300, 400)]


def configured(folder: Path, **changes: Any) -> Config:
    section: dict[str, Any] = {
        "name": "small",
        "run_dir": str(folder / "run"),
        "log": {
            "source": str(folder / "log"),
            "roles": {"time": "ts", "weight": "weight", "keys": ["row_id"]},
            "split": {"by": "time", "valid_from": BOUNDS[0], "test_from": BOUNDS[1]},
        },
        "features": {
            "ids": ["user_id", "item_id", "kind", {"column": "tags", "multi": True}],
            "numbers": ["price", "age_days"],
            "sequences": [{"from": "past_items", "shares": {"past_items": "item_id"}, "numbers": ["past_gaps"]}],
        },
        "tasks": {
            "click": {"label": "is_click"},
            "buy": {"label": "is_buy", "given": "click"},
            "seconds": {"label": "play_seconds", "kind": "regression"},
        },
    }
    return parse({**section, **changes})


def write(folder: Path, rows: pa.Table, files: int = 2) -> Path:
    (folder / "log").mkdir(parents=True, exist_ok=True)
    for index, places in enumerate(np.array_split(np.arange(len(rows)), files)):
        pq.write_table(rows.take(pa.array(places)), folder / "log" / f"{index}.parquet", write_page_checksum=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path, impressions(500))


def changed(rows: pa.Table, name: str, values: Any) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows.schema.field(name).type))


def test_splits_and_facts_are_those_of_the_log(folder: Path) -> None:
    prepared = prepare(configured(folder))
    assert prepared.rows == {"train": 300, "valid": 100, "test": 100}
    frame = impressions(500).to_pandas().iloc[:300]
    train = prepared.facts["train"]
    assert train["click"]["known"] == 300 and train["click"]["mean"] == pytest.approx(frame["is_click"].mean())
    assert train["buy"]["known"] == frame["is_click"].sum() and train["buy"]["mean"] == pytest.approx(frame["is_buy"].mean())
    assert train["seconds"]["known"] == frame["play_seconds"].notna().sum()
    assert train["seconds"]["deviation"] == pytest.approx(frame["play_seconds"].std(ddof=0), rel=1e-6)


def test_what_is_held_out_never_changes_what_is_fitted(tmp_path: Path) -> None:
    rows = impressions(500)
    late = np.arange(500) >= 300
    other = changed(rows, "user_id", np.where(late, 1 + np.arange(500) % 3, rows["user_id"].to_numpy()))
    other = changed(other, "age_days", np.where(late, 1e9, rows["age_days"].to_numpy()))
    other = changed(other, "kind", ["new" if flag else kind for flag, kind in zip(late, rows["kind"].to_pylist(), strict=True)])
    other = changed(other, "past_items", [[1, 1, 1] if flag else past for flag, past in zip(late, rows["past_items"].to_pylist(), strict=True)])
    other = changed(other, "past_gaps", [[0.0] * 3 if flag else past for flag, past in zip(late, rows["past_gaps"].to_pylist(), strict=True)])
    known = prepare(configured(write(tmp_path / "a", rows)))
    found = prepare(configured(write(tmp_path / "b", other)))
    assert known.digest != found.digest and known.fields == found.fields
    for name in ("features.safetensors", "train.parquet"):
        assert (found.path / name).read_bytes() == (known.path / name).read_bytes()
    trained = write(tmp_path / "c", changed(rows, "age_days", np.where(late, 1.0, 1e9)))
    assert (prepare(configured(trained)).path / "features.safetensors").read_bytes() != (known.path / "features.safetensors").read_bytes()


def test_slices_and_files_change_nothing_in_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = prepare(configured(write(tmp_path / "a", impressions(500), files=1)))
    monkeypatch.setattr(log_module, "ROWS_PER_SLICE", 77)
    sliced = prepare(configured(write(tmp_path / "b", impressions(500), files=3)))
    for name in ("features.safetensors", "train.parquet", "valid.parquet", "test.parquet", "sample.parquet"):
        assert (sliced.path / name).read_bytes() == (whole.path / name).read_bytes(), name


def test_a_second_call_opens_what_the_first_one_wrote(folder: Path) -> None:
    stages: list[str] = []
    first = prepare(configured(folder), lambda stage, rows: stages.append(stage))
    assert set(stages) == {"fit", "encode"}
    written = {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in os.scandir(first.path)}
    stages.clear()
    second = prepare(configured(folder, training={"epochs": 1}), lambda stage, rows: stages.append(stage))
    assert second.path == first.path and stages == []
    assert {file.name: (file.stat().st_ino, file.stat().st_mtime_ns) for file in os.scandir(first.path)} == written


@pytest.mark.parametrize("section", ["seed", "features", "tasks", "order of tasks", "split", "rows"])
def test_what_changes_the_rows_makes_another_bundle(section: str, folder: Path) -> None:
    config = configured(folder)
    tasks = {name: task.model_dump(by_alias=True, exclude_unset=True) for name, task in config.tasks.items()}
    split = {"by": "time", "valid_from": BOUNDS[0] + 1, "test_from": BOUNDS[1]}
    changes: dict[str, dict[str, Any]] = {
        "seed": {"seed": 1},
        "features": {"features": {"ids": ["user_id"]}},
        "tasks": {"tasks": {"click": tasks["click"]}},
        "order of tasks": {"tasks": dict(reversed(tasks.items()))},
        "split": {"log": {**config.log.model_dump(exclude={"split"}), "split": split}},
        "rows": {},
    }
    first = prepare(config)
    if section == "rows":
        write(folder, changed(impressions(500), "weight", np.ones(500)))
    assert prepare(configured(folder, **changes[section])).path != first.path


def test_ids_keep_64_bits_into_the_bundle(tmp_path: Path) -> None:
    ids = [*WIDE, None] * 30
    rows = pa.table({"id": ids, "many": [[one, one] if one is not None else None for one in ids], "t": range(180), "label": [0, 1] * 90})
    split = {"by": "time", "valid_from": 120, "test_from": 150}
    log = {"source": str(tmp_path / "log"), "roles": {"time": "t"}, "split": split}
    features = {"ids": ["id", {"column": "many", "multi": True}]}
    prepared = prepare(configured(write(tmp_path, rows), log=log, features=features, tasks={"y": {"label": "label"}}))
    places = {value: place for place, value in enumerate(sorted(WIDE), start=1)}
    for split_name in ("train", "valid", "test"):
        for batch in prepared.reader(split_name, 7).in_order():
            single, many = batch.ids.split(batch.id_lengths.sum(1).tolist())
            raw = [ids[row] for row in batch.row.tolist()]
            assert single.tolist() == [places[value] for value in raw if value is not None]
            assert many.tolist() == [places[value] for value in raw if value is not None for _ in range(2)]
            assert batch.id_lengths[0].tolist() == [int(value is not None) for value in raw]


def test_the_bundle_says_what_its_rows_hold(folder: Path) -> None:
    config = configured(folder)
    prepared = prepare(config)
    assert [(field.name, field.table) for field in prepared.fields] == [
        ("user_id", "user_id"),
        ("item_id", "item_id"),
        ("past_items", "item_id"),
        ("kind", "kind"),
        ("tags", "tags"),
        ("past_gaps", "past_gaps"),
    ]
    assert prepared.many == [False, False, True, False, True, True]
    (batch,) = prepared.reader("test", 200).in_order()
    assert batch.numbers.shape == (100, prepared.num_numbers) and bool(torch.isfinite(batch.numbers).all())
    for field, ids in zip(prepared.fields, batch.ids.split(batch.id_lengths.sum(1).tolist()), strict=True):
        assert set(ids.tolist()) <= set(range(field.num_rows))
    encoded = load_features(config, prepared).encode(impressions(500).slice(400))
    assert np.array_equal(encoded.numbers, batch.numbers.numpy())
    assert np.array_equal(np.concatenate([values for values, _ in encoded.ids]), batch.ids.numpy())
    assert prepared.sample().num_rows == 100 and set(prepared.sample()["row_id"].to_pylist()) == set(range(400, 500))


def test_a_folder_above_the_bundle_adds_no_column(tmp_path: Path) -> None:
    prepared = prepare(configured(write(tmp_path / "year=2017", impressions(500))))
    assert "year" not in prepared.sample().column_names


def test_an_unknown_split_is_named(folder: Path) -> None:
    with pytest.raises(DataError, match=r"no such split.*dev.*'valid'"):
        prepare(configured(folder)).reader("dev", 10)


@pytest.mark.parametrize("name", ["train.parquet", "sample.parquet", "features.safetensors", "manifest.json"])
def test_a_flipped_bit_is_named_when_the_bundle_is_opened(name: str, folder: Path) -> None:
    config = configured(folder)
    path = prepare(config).path
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(BundleError, match=name):
        Prepared(path)
    with pytest.raises(BundleError, match=name):
        prepare(config)


def test_a_failed_call_leaves_nothing_that_a_later_one_would_open(folder: Path) -> None:
    write(folder, changed(impressions(500), "weight", [1.0] * 499 + [-1.0]))
    with pytest.raises(DataError, match="1 rows have no usable weight"):
        prepare(configured(folder))
    assert list((folder / "prepared").iterdir()) == []
    write(folder, impressions(500))
    assert prepare(configured(folder)).rows["train"] == 300


def test_columns_that_nothing_reads_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "log").mkdir()
    pq.write_table(impressions(500).append_column("colour", pa.array(["red"] * 500)), tmp_path / "log" / "a.parquet")
    with caplog.at_level("INFO", logger="mtrec"):
        prepare(configured(tmp_path))
        prepare(configured(tmp_path))
    assert [message for message in caplog.messages if "colour" in message] == ["Columns of the log that nothing reads: colour"]
