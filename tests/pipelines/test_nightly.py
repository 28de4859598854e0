"""The nightly job: what is not worse is promoted, what is worse is refused, and a night that is done is left as it is."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtrec.errors import ConfigError, DataError
from mtrec.serving import load_artifact
from pipelines.nightly import files_by_day, main

MIDNIGHT_MS, ROWS_A_DAY = 1_700_006_400_000, 300
DAYS = [f"2023-11-{day}" for day in range(15, 20)]
# A model that stays as it was drawn.
UNTRAINED = ("training.optimizers.dense.lr=1.0e-12", "training.optimizers.embeddings.lr=1.0e-12", "training.epochs=1")


class Nights:
    """A log of five days, in which a number says much of the click, with declared counters; and the nights on it."""

    def __init__(self, tiny: Any, folder: Path) -> None:
        self.log, self.runs = folder / "log", folder / "runs"
        self.log.mkdir()
        random = np.random.default_rng(0)
        for number, day in enumerate(DAYS):
            x = random.normal(size=ROWS_A_DAY)
            rows = {
                "row_id": np.arange(number * ROWS_A_DAY, (number + 1) * ROWS_A_DAY),
                "ts": MIDNIGHT_MS + number * 86_400_000 + np.arange(ROWS_A_DAY) * 288_000,
                "item_id": random.integers(20, size=ROWS_A_DAY),
                "x": x,
                "is_click": (random.random(ROWS_A_DAY) < 1 / (1 + np.exp(-3 * x))).astype(np.int8),
            }
            pq.write_table(pa.table(rows), self.log / f"{day}.parquet")
        self.config = tiny.file(
            "nightly",
            log={
                "source": str(self.log),
                "roles": {"time": "ts", "item": "item_id", "keys": ["row_id"]},
                "split": {"by": "time", "valid_from": DAYS[-2], "test_from": DAYS[-1]},
            },
            history={"past": {"of": ["is_click"], "by": ["item"]}},
            features={"ids": ["item_id"], "numbers": ["x", "past.*"]},
            tasks={"click": {"label": "is_click"}},
            training={"epochs": 6, "batch_size": 32, "threads": 1, "optimizers": {"dense": {"lr": 0.01}}},
        )

    def night(self, day: str, *overrides: str) -> int:
        try:
            main([str(self.config), *overrides, "--day", day, "--runs", str(self.runs), "--calibration", "0.7", "1.4"])
        except SystemExit as left:
            return int(left.code or 0)
        return 0

    def pointer(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.runs / "promoted.json").read_text())
        return found

    def files_of(self, *folders: str) -> dict[str, tuple[int, int]]:
        """When each file was written, and its bytes."""
        files = [path for path in sorted(self.runs.joinpath(*folders).rglob("*")) if path.is_file()]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


@pytest.fixture(scope="module")
def nights(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tiny, tmp_path_factory.mktemp("nights"))


@pytest.mark.slow
def test_nights_one_after_the_other(nights: Nights, capsys: pytest.CaptureFixture[str]) -> None:
    assert nights.night(DAYS[2]) == 0 and nights.pointer()["day"] == DAYS[2]

    # Refused: worse than the first. What serves stays, and can be loaded by what the pointer says.
    before = (nights.runs / "promoted.json").read_bytes()
    assert nights.night(DAYS[3], *UNTRAINED) == 6
    assert "gate says no" in capsys.readouterr().err and (nights.runs / "promoted.json").read_bytes() == before
    found = nights.pointer()
    artifact = load_artifact(nights.runs / found["artifact"], found["manifest_sha256"])
    assert artifact.path == nights.runs / DAYS[2] / "export"
    compared = json.loads((nights.runs / DAYS[3] / "compared.json").read_text())["tasks"]["click"]["auc"]
    assert compared["high"] < 0 and compared["second"] > 0.8
    checkpoints = nights.files_of(DAYS[3], "checkpoints")
    assert nights.night(DAYS[3], *UNTRAINED) == 6 and nights.files_of(DAYS[3], "checkpoints") == checkpoints  # Not trained again.

    # The next night is compared with the first, which goes on through two days that it has not seen.
    assert nights.night(DAYS[4]) == 0 and nights.pointer()["day"] == DAYS[4]
    assert pq.read_table(nights.runs / DAYS[4] / "promoted.parquet").num_rows == 2 * ROWS_A_DAY

    # Done nights are left as they are, whether promoted, refused or older.
    files = nights.files_of()
    for day in DAYS[2:]:
        assert nights.night(day) == 0
    assert "nothing to do" in capsys.readouterr().out and nights.files_of() == files


def test_the_promoted_run_judges_new_days_as_if_it_had_read_all(nights: Nights, tmp_path: Path) -> None:
    """Its scores from its state and the new files are those of one pass over all days."""
    from mtrec.config import load
    from mtrec.jobs.load import load_run
    from mtrec.jobs.rows import plan_rows
    from mtrec.jobs.scored import scored_log
    from mtrec.training.scoring import score_log

    assert nights.night(DAYS[2]) == 0  # Done already, unless this test runs alone.
    loaded = load_run(nights.runs / DAYS[2])
    on = [str(nights.log / f"{day}.parquet") for day in DAYS[3:]]
    together, _ = scored_log(loaded, on)
    everything = load(nights.config).model_copy(update={"run_dir": str(tmp_path / "all" / "run")})
    planned = plan_rows(everything)
    rows, _ = planned.rows(everything, everything.prepared_folder, lambda stage, done: None)
    whole = score_log(loaded.model, loaded.features, rows, loaded.config.tasks, loaded.config.log.roles)
    np.testing.assert_array_equal(together.scores.predictions, whole.predictions[-2 * ROWS_A_DAY :])


def test_files_are_named_by_their_days(tmp_path: Path) -> None:
    for name in ("2026-07-03.parquet", "2026-07-01.csv.gz", "2026-07-04.parquet", "2026-06-30.parquet"):
        (tmp_path / name).touch()
    found = files_by_day(str(tmp_path), date(2026, 7, 3))
    assert [Path(file).name for file in found.values()] == ["2026-06-30.parquet", "2026-07-01.csv.gz", "2026-07-03.parquet"]
    with pytest.raises(DataError, match="2026-07-02"):
        files_by_day(str(tmp_path), date(2026, 7, 2))
    with pytest.raises(DataError, match="two of days before"):
        files_by_day(str(tmp_path), date(2026, 7, 1))
    (tmp_path / "2026-07-03.csv").touch()
    with pytest.raises(DataError, match="of one day"):
        files_by_day(str(tmp_path), date(2026, 7, 3))
    (tmp_path / "2026-07-03.csv").rename(tmp_path / "part-0.csv")
    with pytest.raises(DataError, match="part-0"):
        files_by_day(str(tmp_path), date(2026, 7, 4))


def test_rows_need_names(nights: Nights, tmp_path: Path) -> None:
    from mtrec.config import load
    from pipelines.nightly import night

    with pytest.raises(ConfigError, match="log.roles.keys"):
        night(load(nights.config, ["log.roles.keys=[]"]), date.fromisoformat(DAYS[2]), tmp_path / "runs")
