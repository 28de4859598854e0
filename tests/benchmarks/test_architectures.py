"""Which runs `benchmarks.architectures` makes, in which order, and that it goes on where it was stopped; nothing is trained."""

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import architectures
from benchmarks.architecture_tables import Log, Result


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done: `log <name> <seed>`, before each run, and `run <log> <row> <rate> <seed>`. Of two rates, the second is better on valid."""
    done: list[str] = []

    def run(log: Log, row: str, rate: float, seed: int) -> Result:
        done.append(f"run {log.name} {row} {rate:g} {seed}")
        figures = {f"{task}/rmse": 1.0 - rate for task in log.tasks}
        return Result(log.name, row, rate, seed, architectures.digest(log, row), figures, figures, 1, 1.0, 1.0, 1)

    monkeypatch.setattr(architectures, "ROWS", tmp_path / "rows.jsonl")
    monkeypatch.setattr(architectures, "TABLES", tmp_path / "tables.md")
    monkeypatch.setattr(architectures, "make_log", lambda log, seed: done.append(f"log {log.name} {seed}"))
    monkeypatch.setattr(architectures, "run", run)
    monkeypatch.setattr(sys, "argv", ["architectures", "--set", "sine", "--seeds", "0,1", "--only", "mmoe"])
    return done


def test_rates_are_tried_with_the_first_seed_and_the_best_goes_on(made: list[str]) -> None:
    architectures.main()
    expected = []
    for name in ("sine 1.0", "sine 0.0", "sine 0.5"):
        for rate, seed in (("0.002", 0), ("0.004", 0), ("0.004", 1)):
            expected += [f"log {name} {seed}", f"run {name} mmoe {rate} {seed}"]
    assert made == expected
    assert "| mmoe | 2 | +0.0000 ± 0.0000 |" in architectures.TABLES.read_text(encoding="utf-8")


def test_kept_runs_are_not_made_again(made: list[str]) -> None:
    architectures.main()
    lines = architectures.ROWS.read_text(encoding="utf-8").splitlines(keepends=True)
    architectures.ROWS.write_text("".join(lines[:-1]), encoding="utf-8")
    made.clear()
    architectures.main()
    assert made == ["log sine 0.5 1", "run sine 0.5 mmoe 0.004 1"]


def test_each_seed_of_the_sines_draws_its_own_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(architectures, "FOLDER", tmp_path / "runs")
    monkeypatch.setattr(architectures, "SINE_ROWS", 100)
    log = architectures.LOGS["sine"][0]._replace(source=str(tmp_path / "log"))
    found = []
    for seed in (0, 1, 0):
        stale = architectures.folder_of(log) / "prepared"
        stale.mkdir(parents=True)
        architectures.make_log(log, seed)
        (prepared := architectures.folder_of(log) / "prepared-since").mkdir(parents=True)
        architectures.make_log(log, seed)  # For the next row: the log is there, and so is what was prepared of it.
        assert prepared.exists()
        found.append(pq.read_table(log.source))
        assert not stale.exists() and found[-1].num_rows == 100
    assert found[0].equals(found[2]) and not found[0]["y0"].equals(found[1]["y0"])
