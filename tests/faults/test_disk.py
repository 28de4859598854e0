"""A disk that is full, or that nobody may write to: what was there stays whole, nothing half-written has a final name, the exit code is 4."""

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mtrec.data.bundle import Prepared
from mtrec.serving import load_artifact
from mtrec.store import Bundle
from mtrec.training import checkpoint
from tests.faults.kit import full_disk, read_only, small_files

Call = Callable[..., tuple[int, str, str]]
SLOWLY = ("training.early_stopping=null", "training.checkpoints.every_steps=2")


@pytest.fixture
def run(loaded: Any, tmp_path: Path) -> Iterator[Path]:
    """A copy of a finished run, with its prepared log."""
    path = tmp_path / "runs" / "trained"
    shutil.copytree(loaded.run.path, path)
    shutil.copytree(loaded.prepared.path, tmp_path / "runs/prepared" / loaded.prepared.path.name)
    yield path
    left = [str(entry) for entry in tmp_path.rglob(".*aside*")]
    assert left == []


def files_of(path: Path) -> dict[str, bytes]:
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def assert_told(result: tuple[int, str, str], *words: str) -> None:
    code, _, error = result
    assert (code, error.count("\n"), error.startswith("error: ")) == (4, 1, True), error
    assert [word for word in words if word not in error] == []


@pytest.mark.parametrize("after", [0, 20, 60, 110])
def test_a_disk_that_fills_up_while_training(after: int, tiny: Any, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "runs" / "full"
    words = ("train", tiny.file("full"), *SLOWLY, f"run_dir={run}")
    with full_disk(after):
        told = call(*words)
    assert_told(told, "No space left on device", str(tmp_path))
    for path in [*run.glob("checkpoints/*"), *run.glob("../prepared/*")]:
        assert Bundle.open(path).files
    last = checkpoint.latest(run / "checkpoints")
    assert last is not None or after < 60
    assert last is None or checkpoint.load(last).state["step"] > 0
    assert [entry.name for entry in tmp_path.rglob(".*aside*")] == []
    assert call(*words)[0] == 0


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_one(
    number: int, tiny: Any, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, real = tmp_path / "runs" / "refused", checkpoint.save
    saved: list[Path] = []

    def save(path: Path, *arguments: Any, **options: Any) -> None:
        with full_disk(number=number) if len(saved) == 2 else contextlib.nullcontext():
            real(path, *arguments, **options)
        saved.append(path)

    monkeypatch.setattr(checkpoint, "save", save)
    told = call("train", tiny.file("refused"), *SLOWLY, f"run_dir={run}")
    assert_told(told, str(run / "checkpoints"), os.strerror(number))
    assert sorted(entry.name for entry in (run / "checkpoints").iterdir()) == ["step-000000002", "step-000000004"]
    last = checkpoint.latest(run / "checkpoints")
    assert last is not None and last.name == "step-000000004" and checkpoint.load(last).state["step"] == 4


@pytest.mark.parametrize("largest", [1_000, 30_000])
def test_prepare_whose_files_do_not_fit(largest: int, tiny: Any, tmp_path: Path, call: Call) -> None:
    words = ("prepare", tiny.file("small"), f"run_dir={tmp_path / 'runs' / 'small'}")
    with small_files(largest):
        told = call(*words)
    assert_told(told, "prepared")
    assert list((tmp_path / "runs/prepared").iterdir()) == []
    assert call(*words)[0] == 0
    (path,) = (tmp_path / "runs/prepared").iterdir()
    assert Prepared(path).rows["train"] == 1000


def test_a_checkpoint_whose_files_do_not_fit(tiny: Any, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "runs" / "small"
    words = (tiny.file("small"), "training.early_stopping=null", f"run_dir={run}")
    assert call("prepare", *words)[0] == 0
    with small_files(5_000):
        told = call("train", *words)
    assert_told(told, str(run / "checkpoints"))
    assert list((run / "checkpoints").iterdir()) == []
    assert call("train", *words)[0] == 0


@pytest.mark.parametrize("verb", ["export", "evaluate"])
@pytest.mark.parametrize("fault", ["full", "files do not fit", "read-only"])
def test_the_earlier_result_stays(verb: str, fault: str, run: Path, call: Call) -> None:
    assert call(verb, run)[0] == 0
    before = files_of(run)
    if fault == "full":
        with full_disk():
            told = call(verb, run)
    elif fault == "files do not fit":
        with small_files(500):
            told = call(verb, run)
    else:
        with read_only(run) as is_refused, contextlib.nullcontext() if is_refused else full_disk(number=errno.EROFS):
            told = call(verb, run)
    assert_told(told, str(run))
    assert files_of(run) == before
    if verb == "export":
        load_artifact(run / "export", self_check=True)


def test_predictions_that_do_not_fit_leave_no_file(run: Path, tiny: Any, tmp_path: Path, call: Call) -> None:
    out = tmp_path / "out" / "scores.parquet"
    with small_files(500):
        told = call("predict", run, tiny.log, out)
    assert_told(told, str(out))
    assert list(out.parent.iterdir()) == []


def test_a_run_that_nobody_may_write_to_is_told_before_the_log_is_read(
    tiny: Any, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr("mtrec.jobs.train.prepare", lambda *_: pytest.fail("the log was read"))
    assert_told(call("train", tiny.file("nowhere"), f"run_dir={tmp_path / 'file' / 'run'}"), "cannot be written", str(tmp_path / "file"))
