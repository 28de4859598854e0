"""A folder is replaced as a whole or not at all."""

from pathlib import Path

import pytest

from mtrec.errors import DataError
from pipelines.folders import replacing


def test_new_parts_take_the_place_of_the_old_ones(tmp_path: Path) -> None:
    for content in ("old", "new"):
        with replacing(tmp_path / "deep" / "log") as aside:
            (aside / f"part-{content}.parquet").write_text(content)
            assert not (tmp_path / "deep" / "log" / f"part-{content}.parquet").exists()
    assert [path.name for path in (tmp_path / "deep").rglob("*")] == ["log", "part-new.parquet"]


def test_an_error_leaves_the_old_parts(tmp_path: Path) -> None:
    with replacing(tmp_path / "log") as aside:
        (aside / "part-0.parquet").write_text("old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "log") as aside:
        (aside / "part-0.parquet").write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert (tmp_path / "log" / "part-0.parquet").read_text() == "old"


@pytest.mark.parametrize("place", ["notes", "notes/mine.txt"])
def test_other_files_are_never_replaced(place: str, tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(DataError, match=r"other files.*Name another"), replacing(tmp_path / place):
        pass
    assert [path.name for path in tmp_path.rglob("*")] == ["notes", "mine.txt"]
