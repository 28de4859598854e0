"""Rates against pandas, rows that repeat, what splits share, clocks and names of rows among the inputs."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mtrec.data import log as log_module
from mtrec.inspection import gather
from mtrec.inspection.rates import readable
from tests.inspection.planted import MINUTE, ROWS, START, TEST_FROM, VALID_FROM, look, places, shop, told


def repeated(columns: dict[str, Any], rows: range) -> dict[str, Any]:
    """The columns with some rows in place of those that end the log."""
    order = [*range(ROWS - len(rows)), *rows]
    return {name: [values[place] for place in order] for name, values in columns.items()}


def test_rates_are_those_of_the_log(tmp_path: Path) -> None:
    columns = shop()
    columns["past"] = [items if place % 5 else [] for place, items in enumerate(columns["past"])]
    report = look(tmp_path, columns)
    frame = pd.read_parquet(tmp_path / "log.parquet")
    split = np.where(frame["ts"] < VALID_FROM, "train", np.where(frame["ts"] < TEST_FROM, "valid", "test"))
    assert report.rows == {name: int((split == name).sum()) for name in ("train", "valid", "test")}
    for name in report.rows:
        part = frame[split == name]
        assert report.times[name] == (str(part["ts"].min()), str(part["ts"].max()))
        label = report.labels["buy"][name]
        assert label.known == part["is_buy"].notna().sum() and label.mean == pytest.approx(part["is_buy"].mean())
        assert report.labels["seconds"][name].deviation == pytest.approx(part["seconds"].std(ddof=0))
        assert report.inputs["price"].missing[name] == pytest.approx(part["price"].isna().mean())
        assert report.inputs["past"].missing[name] == pytest.approx((part["past"].map(len) == 0).mean())
    assert report.inputs["kind"].unseen == {"valid": 0.0, "test": 0.0} and report.inputs["price"].unseen == {}


@pytest.mark.parametrize(
    ("kind", "stored", "text"),
    [
        (pa.int64(), 1_700_000_000_000, "1700000000000"),
        (pa.float64(), 12.5, "12.5"),
        (pa.date32(), 17_440, "2017-10-01"),
        (pa.date64(), 17_440 * 86_400_000, "2017-10-01"),
        (pa.timestamp("ms"), 17_440 * 86_400_000 + 60_000, "2017-10-01 00:01"),
        (pa.timestamp("us", "Asia/Shanghai"), 17_440 * 86_400_000_000, "2017-10-01 08:00"),
    ],
)
def test_times_are_told_as_people_write_them(kind: pa.DataType, stored: float, text: str) -> None:
    assert readable(float(stored), kind) == text


@pytest.mark.parametrize("unit", ["ms", "ns"])
def test_times_that_are_timestamps(unit: str, tmp_path: Path) -> None:
    columns = shop()
    columns["ts"] = pa.array(columns["ts"], pa.timestamp("ms", "UTC")).cast(pa.timestamp(unit, "UTC"))
    split = {"by": "time", "valid_from": "2023-11-16T17:33", "test_from": "2023-11-17T05:13"}
    log = {"source": str(tmp_path / "log.parquet"), "roles": {"time": "ts", "user": "user", "item": "item", "keys": ["row_id"]}, "split": split}
    report = look(tmp_path, columns, log=log)
    assert report.times["valid"][0] == "2023-11-16 17:33" and told(report, "leak", "warning") == []


def test_slices_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {**shop(), "planted": shop()["is_click"] * 2.0}
    whole = look(tmp_path, columns, numbers=["planted"])
    monkeypatch.setattr(log_module, "ROWS_PER_SLICE", 377)
    sliced = look(tmp_path, columns, numbers=["planted"])
    assert sliced._replace(labels={}) == whole._replace(labels={})
    for task, splits in whole.labels.items():  # Sums of fractions round as they are grouped.
        assert {name: pytest.approx(label) for name, label in splits.items()} == sliced.labels[task]


def test_a_sample_finds_what_all_rows_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "SAMPLE_ROWS", 500)
    monkeypatch.setattr(gather, "GROUP_ROWS", 1000)
    sizes = []
    finish = gather.Gathered.finish

    def watched(gathered: gather.Gathered) -> None:
        finish(gathered)
        sizes.extend([*(rows.num_rows for rows in gathered.rows.values()), *(rows.num_rows for rows in gathered.groups.values())])

    monkeypatch.setattr(gather.Gathered, "finish", watched)
    report = look(tmp_path, {**shop(), "planted": shop()["is_click"] * 2.0}, numbers=["planted"])
    assert places(report, "leak") == {"planted"} and sizes[:3] == [500, 500, 500] and all(500 < size <= 1000 for size in sizes[3:])
    assert report.rows["train"] == 2600 and "train, valid, test" in places(report, "note")


def test_values_that_train_lacks(tmp_path: Path) -> None:
    columns = shop()
    columns["brand"] = [f"brand{place % 3 + 3 * (place >= 3300 and place % 4 > 0)}" for place in range(ROWS)]
    report = look(tmp_path, columns, ids=["brand"])
    assert report.inputs["brand"].unseen == {"valid": 0.0, "test": pytest.approx(0.75)}
    assert "brand" in {each.where for each in told(report, "warning") if "unseen" in each.figures}


def test_a_list_that_shares_a_table_knows_its_values(tmp_path: Path) -> None:
    columns = shop()
    columns["past"] = [[9999] if place >= 3300 else [9999 if place == 0 else 1001] for place in range(ROWS)]
    columns["item"] = np.where(np.arange(ROWS) == 5, 8888, columns["item"])
    columns["past"][4000 - 1] = [8888, 7777]
    report = look(tmp_path, columns)
    # 8888 is among the items of train, 9999 among its lists; 7777 is new: one of 701 values.
    assert report.inputs["past"].unseen["test"] == pytest.approx(1 / 701)


def test_rows_that_repeat(tmp_path: Path) -> None:
    columns = repeated(shop(), range(3000, 3040))
    report = look(tmp_path, columns)
    found = [each for each in told(report, "warning") if "held_out_in_train" in each.figures]
    assert [each.figures["rows"] for each in found] == [40.0, 40.0, 40.0]  # whole rows, keys, and user, item and time
    assert [each.figures["share"] for each in found] == [pytest.approx(0.01)] * 3
    assert {each.figures["held_out_in_train"] for each in found} == {0.0}


def test_a_key_that_repeats_across_splits(tmp_path: Path) -> None:
    columns = shop()
    columns["row_id"] = np.where(np.arange(ROWS) == 3999, 7, columns["row_id"])
    (found,) = told(look(tmp_path, columns), "warning")
    assert found.figures == {"share": 1 / ROWS, "rows": 1.0, "held_out_in_train": pytest.approx(1 / 1400)}
    assert "keys" in found.sentence and "train" in found.sentence


def test_few_rows_that_repeat_are_a_note(tmp_path: Path) -> None:
    columns = shop()
    for name in ("user", "item", "ts"):
        columns[name] = columns[name].copy()
        columns[name][10] = columns[name][9]
    report = look(tmp_path, columns)
    assert told(report, "warning") == [] and any("user, item, time" in each.sentence for each in told(report, "note"))


def by_hash(column: str) -> dict[str, Any]:
    return {"by": "hash", "column": column, "valid": 0.2, "test": 0.2}


def test_a_split_that_is_not_by_time_trains_on_what_comes_later(tmp_path: Path) -> None:
    log = {"source": str(tmp_path / "log.parquet"), "roles": {"time": "ts", "user": "user", "item": "item"}, "split": by_hash("row_id")}
    report = look(tmp_path, shop(), log=log)
    found = {each.where: each for each in told(report, "warning")}
    assert set(found) == {"log.split"} and found["log.split"].figures["share"] > 0.98
    shares = {each.where: each.figures["share"] for each in told(report, "note") if "share" in each.figures}
    assert shares == {"valid": 1.0, "test": 1.0}
    by_user = look(tmp_path, shop(), log={**log, "split": by_hash("user")})
    assert {each.where: each.figures["share"] for each in told(by_user, "note") if "share" in each.figures} == {"valid": 0.0, "test": 0.0}


@pytest.mark.parametrize("sign", [1, -1])
def test_a_clock_among_the_inputs(sign: int, tmp_path: Path) -> None:
    columns = shop()
    columns["clock"] = sign * (columns["ts"] // 1000) + np.random.default_rng(0).integers(0, 600, ROWS)
    report = look(tmp_path, columns, numbers=["clock"])
    found = [each for each in told(report, "warning") if "correlation" in each.figures]
    assert [each.where for each in found] == ["clock"] and found[0].figures["correlation"] * sign > 0.99
    hour = {**shop(), "hour": columns["ts"] // 3_600_000 % 24}
    assert not any("correlation" in each.figures for each in told(look(tmp_path, hour, numbers=["hour"]), "warning"))


@pytest.mark.parametrize("section", ["ids", "numbers"])
def test_the_name_of_a_row_among_the_inputs(section: str, tmp_path: Path) -> None:
    columns = {**shop(), "token": np.random.default_rng(0).permutation(ROWS) * 17}
    report = look(tmp_path, columns, **{section: ["token"]})
    assert [each.where for each in told(report, "warning") if each.figures.get("share") == 1.0] == ["token"]


def test_splits_and_labels_that_hold_nothing(tmp_path: Path) -> None:
    columns = shop()
    columns["is_click"] = np.where(np.arange(ROWS) < 2600, columns["is_click"], 0)
    columns["is_buy"] = [label if place < 2600 else None for place, label in enumerate(columns["is_buy"])]
    columns["gone"] = [None if place < 2600 else 1.0 for place in range(ROWS)]
    columns["wide"] = np.where(np.arange(ROWS) % 500 == 0, np.inf, np.arange(ROWS) % 7)
    log = {
        "source": str(tmp_path / "log.parquet"),
        "roles": {"time": "ts", "user": "nobody", "item": "item"},
        "split": {"by": "time", "valid_from": VALID_FROM, "test_from": START + 2 * ROWS * MINUTE},
    }
    report = look(tmp_path, columns, log=log, numbers=["gone", "wide"])
    expected = {"test", "tasks.buy, valid", "tasks.seconds, valid", "tasks.click, valid", "gone", "wide", "log.roles.user"}
    assert places(report, "warning") >= expected and report.rows["test"] == 0 and report.leaks == []
    assert report.inputs["wide"].missing["train"] == pytest.approx(6 / 2600)
