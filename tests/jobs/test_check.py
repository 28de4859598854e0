"""The verb `check`: a readable report, and an exit code that a nightly job can act on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.config import load
from mtrec.data.synthetic import impressions
from mtrec.jobs.check import check

Call = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


def test_the_smoke_log_has_no_leak(call: Call, monkeypatch: Any) -> None:
    monkeypatch.chdir(ROOT)
    code, out, err = call("check", "configs/smoke.yaml")
    assert code == 0, err
    for text in ("12,000 rows", "8,334", "click", "past_items", "0 leaks"):
        assert text in out


def test_a_leak_ends_with_3_after_the_report(tiny: Any, call: Call, tmp_path: Path) -> None:
    rows = impressions(1500)
    paid = [1.0 + place % 7 if bought else 0.0 for place, bought in enumerate(rows["is_buy"].to_pylist())]
    pq.write_table(rows.append_column("paid", pa.array(paid)), tmp_path / "log.parquet")
    source = f"log.source={tmp_path / 'log.parquet'}"
    file = tiny.file("leak", features={**tiny.values("leak")["features"], "numbers": ["age_days", "paid"]})
    code, out, err = call("check", file, source)
    assert code == 3 and "leak" in out and "paid" in out
    assert err.startswith("error: ") and "paid" in err and "age_days" not in err
    # The same log without the column: the same fault is not there.
    code, out, err = call("check", file, source, "features.numbers=[age_days]")
    assert code == 0 and "0 leaks" in out and "paid" in out, err  # among the columns that nothing reads


def test_a_log_that_does_not_fit_ends_with_3(tiny: Any, call: Call, tmp_path: Path) -> None:
    assert call("check", tiny.file("no-log"), f"log.source={tmp_path}/none.parquet")[0] == 3
    pq.write_table(impressions(50), tmp_path / "late.parquet")
    code, _, err = call("check", tiny.file("late"), f"log.source={tmp_path}/late.parquet", "log.split.valid_from=0")
    assert code == 3 and "train" in err
    pq.write_table(impressions(1500).slice(0, 0), tmp_path / "empty.parquet")
    code, _, err = call("check", tiny.file("empty"), f"log.source={tmp_path}/empty.parquet")
    assert code == 3 and "no rows" in err


def test_wrong_configurations_end_with_2(tiny: Any, call: Call, tmp_path: Path) -> None:
    assert call("check", tmp_path / "nowhere.yaml")[0] == 2
    assert call("check", tiny.file("wrong"), "training.epoch=3")[0] == 2


def test_rows_are_counted_as_they_are_read(tiny: Any) -> None:
    seen: list[tuple[str, int]] = []
    report = check(load(tiny.file("counted")), lambda stage, rows: seen.append((stage, rows)))
    assert sum(rows for _, rows in seen) == sum(report.rows.values()) == 1500 and {stage for stage, _ in seen} == {"check"}
