"""Generated logs as Parquet parts."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mtrec.errors import ConfigError, DataError
from pipelines import synthetic
from pipelines.synthetic import main

COLUMNS = {
    "multitab": {"row_id", "split", *(f"x{place}" for place in range(32)), *(f"y{task}" for task in range(7))},
    "sine": {"row_id", "split", *(f"x{place}" for place in range(100)), "y0", "y1"},
    "sessions": {
        *("row_id", "split", "time_ms", "session_id", "user_id", "item_id", "category", "segment", "price", "place"),
        *("is_click", "is_buy", "is_like"),
    },
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_a_log_is_written_in_parts(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    main([kind, "--rows", "2500", "--output", str(tmp_path / "one"), "--seed", "7"])
    monkeypatch.setattr(synthetic, "ROWS_PER_PART", 1000)
    main([kind, "--rows", "2500", "--output", str(tmp_path / "three"), "--seed", "7", "--truth"])
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["log", "rows", "seconds"] * 2
    one, three = pq.read_table(tmp_path / "one"), pq.read_table(tmp_path / "three")
    assert [pq.read_metadata(part).num_rows for part in sorted((tmp_path / "three").iterdir())] == [1000, 1000, 500]
    assert set(one.column_names) == COLUMNS[kind]
    assert set(three.column_names) - COLUMNS[kind] == {name for name in three.column_names if name.startswith("truth_")} != set()
    assert three.select(one.column_names).equals(one)
    assert one["split"].value_counts().to_pylist() == [
        {"values": "train", "counts": 2000},
        {"values": "valid", "counts": 250},
        {"values": "test", "counts": 250},
    ]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["multitab", "--rows", "0"], ConfigError.exit_code),
        (["multitab", "--rows", "10", "--correlation", "-0.3"], ConfigError.exit_code),
        (["sessions", "--rows", "10", "--agreement", "2"], ConfigError.exit_code),
        (["sine", "--rows", "10"], DataError.exit_code),
    ],
)
def test_faults_end_with_their_code_and_leave_nothing(arguments: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("keep")
    output = tmp_path if code == DataError.exit_code else tmp_path / "log"
    with pytest.raises(SystemExit) as stopped:
        main([*arguments, "--output", str(output)])
    assert stopped.value.code == code
    assert capsys.readouterr().err.startswith("error: ")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
