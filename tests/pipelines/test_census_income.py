"""The log of Census-Income, against a plain reading of generated lines of the same format."""

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mtrec.errors import DataError
from pipelines.census_income import COLLEGE, COLUMNS, LABELS, NUMBERS, build, main

EDUCATION = (*COLLEGE, "Some college but no degree", "Children", "Associates degree-academic program")
MARRIAGE = ("Never married", "Divorced", "Married-civilian spouse present")


def lines(num_rows: int, seed: int) -> list[str]:
    source = random.Random(seed)
    rows = []
    for _ in range(num_rows):
        row = {name: source.choice(("Not in universe", "?", "Cuba", "0", "94")) for name in COLUMNS}
        row |= {name: str(source.randrange(90)) for name in NUMBERS}
        row |= {"education": source.choice(EDUCATION), "marital_status": source.choice(MARRIAGE)}
        row |= {"instance_weight": f"{source.random() * 3000:.2f}", "income": source.choice(("- 50000.", "50000+."))}
        rows.append(", ".join(row[name] for name in COLUMNS))
    return rows


TRAIN, TEST = lines(300, 1), lines(400, 2)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "raw"
    folder.mkdir()
    (folder / "census-income.data").write_text("\n".join(TRAIN) + "\n", encoding="utf-8")
    with gzip.open(folder / "census-income.test.gz", "wt", encoding="utf-8") as file:
        file.write("\n".join(TEST) + "\n")
    return folder


def read(log: Path) -> pl.DataFrame:
    return pl.read_parquet(log / "part-*.parquet").sort("row_id")


def test_rows_are_the_lines(raw: Path, tmp_path: Path) -> None:
    build(raw, tmp_path / "log")
    found = read(tmp_path / "log").to_dicts()
    assert [row["row_id"] for row in found] == list(range(700))
    for row, line in zip(found, [*TRAIN, *TEST], strict=True):
        fields = dict(zip(COLUMNS, line.split(", "), strict=True))
        assert row["income_over_50k"] == (fields.pop("income") == "50000+.")
        assert row["never_married"] == (fields.pop("marital_status") == "Never married")
        assert row["college"] == (fields.pop("education") in COLLEGE)
        kept = {name: row[name] for name in fields}
        assert kept == {name: float(value) if name in NUMBERS else value for name, value in fields.items()}
        assert set(row) == {"row_id", "split", *LABELS, *fields}
    assert all(0 < sum(row[label] for row in found) < 700 for label in LABELS)


def test_the_test_file_is_halved_by_the_seed(raw: Path, tmp_path: Path) -> None:
    build(raw, tmp_path / "log")
    build(raw, tmp_path / "same")
    build(raw, tmp_path / "other", seed=1)
    splits = read(tmp_path / "log")["split"]
    assert set(splits[:300]) == {"train"} and set(splits[300:]) == {"valid", "test"}
    assert 160 < (splits == "valid").sum() < 240  # 200 and four standard deviations
    assert splits.equals(read(tmp_path / "same")["split"]) and not splits.equals(read(tmp_path / "other")["split"])


@pytest.mark.parametrize("name", ["census-income.data", "census-income.test.gz"])
def test_one_file_alone_has_all_splits(name: str, raw: Path, tmp_path: Path) -> None:
    (raw / name).unlink()
    summary = build(raw, tmp_path / "log")
    num_rows = sum(summary["rows"].values())
    assert num_rows == (400 if name == "census-income.data" else 300)
    assert summary["rows"]["train"] == pytest.approx(0.8 * num_rows, abs=0.1 * num_rows)
    assert min(summary["rows"][split] for split in ("valid", "test")) > 0.04 * num_rows


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda line: line.rpartition(",")[0], "number of fields"),
        (lambda line: line.replace("50000", "60000"), "A label is neither"),
        (lambda line: "old," + line.partition(",")[2], "'age' holds what is no number"),
    ],
)
def test_a_damaged_line_is_refused(change: Callable[[str], str], fault: str, raw: Path, tmp_path: Path) -> None:
    (raw / "census-income.data").write_text("\n".join([*TRAIN, change(TRAIN[0])]), encoding="utf-8")
    with pytest.raises(DataError, match=rf"{fault}.*census-income\.data"):
        build(raw, tmp_path / "log")
    assert not (tmp_path / "log").exists()


def test_a_damaged_file_is_refused(raw: Path, tmp_path: Path) -> None:
    path = raw / "census-income.test.gz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"census-income\.test\.gz"):
        build(raw, tmp_path / "log")


def test_the_command_line_prints_one_line_each(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--source", str(raw), "--output", str(tmp_path / "log")])
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["log", "rows", *LABELS, "seconds"]
    with pytest.raises(SystemExit) as stopped:
        main(["--source", str(tmp_path), "--output", str(tmp_path / "log")])
    assert stopped.value.code == DataError.exit_code
    assert "https://archive.ics.uci.edu/dataset/117" in capsys.readouterr().err
