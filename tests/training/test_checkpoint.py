import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mtrec.errors import BundleError
from mtrec.store import MANIFEST
from mtrec.training import checkpoint
from mtrec.training.checkpoint import Snapshot, step_path
from mtrec.training.restore import copy_into

GROUPS = ("dense", "average", "optimizer", "tables", "tables_optimizer", "training")


def make(step: int = 0, value: float = 1.0) -> Snapshot:
    weights = torch.full((2, 3), value)
    return Snapshot({group: {"w": weights} for group in GROUPS}, {"step": step, "rate": 0.1 + 0.2}, {"digest": "abc"})


def fill(folder: Path, *steps: int) -> list[Path]:
    for step in steps:
        checkpoint.save(step_path(folder, step), make(step))
    return [step_path(folder, step) for step in steps]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_round_trip_is_exact(tmp_path: Path) -> None:
    snapshot = make(3)
    snapshot.tensors["training"]["random"] = torch.get_rng_state()
    snapshot.tensors["dense"]["transposed"] = torch.rand(3, 2).T  # not contiguous
    checkpoint.save(tmp_path / "step-000000003", snapshot)
    found = checkpoint.load(tmp_path / "step-000000003")
    assert found.state == snapshot.state and found.meta == {"digest": "abc"}
    for group, tensors in snapshot.tensors.items():
        assert found.tensors[group].keys() == tensors.keys()
        assert all(torch.equal(found.tensors[group][name], tensor) for name, tensor in tensors.items())


def test_latest_passes_over_what_has_no_manifest(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert checkpoint.latest(tmp_path) is None
    first, second = fill(tmp_path, 1, 2)
    (second / MANIFEST).unlink()
    (tmp_path / "step-notes").mkdir()
    with caplog.at_level(logging.WARNING, "mtrec"):
        assert checkpoint.latest(tmp_path) == first
    assert [str(second) in message for message in caplog.messages] == [True]


def test_a_damaged_last_one_names_the_newest_that_is_whole(tmp_path: Path) -> None:
    first, second, third, fourth = fill(tmp_path, 1, 2, 3, 4)
    flip(third / "dense-00000.safetensors")
    flip(fourth / "tables-00000.safetensors")
    with pytest.raises(BundleError) as error:
        checkpoint.latest(tmp_path)
    assert "tables-00000.safetensors" in str(error.value) and str(second) in str(error.value)
    assert str(first) not in str(error.value) and ".." not in str(error.value).replace(str(tmp_path), "")
    assert checkpoint.rewind(tmp_path, second) == second
    assert checkpoint.latest(tmp_path) == second
    assert not third.exists() and not fourth.exists() and first.exists()


def test_none_is_whole(tmp_path: Path) -> None:
    (only,) = fill(tmp_path, 1)
    flip(only / "state.json")
    with pytest.raises(BundleError, match="No whole one is left"):
        checkpoint.latest(tmp_path)


def test_rewind_takes_only_whole_checkpoints_of_the_folder(tmp_path: Path) -> None:
    first, second = fill(tmp_path / "a", 1, 2)
    (other,) = fill(tmp_path / "b", 1)
    flip(first / "dense-00000.safetensors")
    for path in (other, first, tmp_path / "a", tmp_path / "a" / "step-000000009"):
        with pytest.raises(BundleError):
            checkpoint.rewind(tmp_path / "a", path)
    assert second.exists()


def test_prune_keeps_the_last_and_the_best(tmp_path: Path) -> None:
    paths = fill(tmp_path, 1, 2, 3, 4, 5)
    checkpoint.prune(tmp_path, 2, [paths[0]])
    assert sorted(tmp_path.iterdir()) == [paths[0], paths[3], paths[4]]
    checkpoint.prune(tmp_path, 2)
    assert sorted(tmp_path.iterdir()) == paths[3:]


def test_prune_counts_only_complete_ones(tmp_path: Path) -> None:
    paths = fill(tmp_path, 1, 2, 3)
    (paths[2] / MANIFEST).unlink()
    checkpoint.prune(tmp_path, 2)
    assert sorted(tmp_path.iterdir()) == paths[:2]


def test_steps_are_numbers_even_when_they_are_long(tmp_path: Path) -> None:
    _, long = fill(tmp_path, 999_999_999, 1_000_000_000)
    assert checkpoint.latest(tmp_path) == long
    checkpoint.prune(tmp_path, 1)
    assert list(tmp_path.iterdir()) == [long]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("group", ["dense", "tables", "optimizer"])
def test_values_that_are_not_finite_are_refused_at_write_and_at_load(tmp_path: Path, bad: float, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (good,) = fill(tmp_path, 1)
    poisoned = make(1)
    poisoned.tensors[group] = {"w": torch.tensor([1.0, bad])}
    with pytest.raises(BundleError, match=f"{group}: w"):
        checkpoint.save(good, poisoned)
    assert checkpoint.load(good).tensors[group]["w"].isfinite().all()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_refuse_non_finite", lambda *_: None)
        checkpoint.save(good, poisoned)
    with pytest.raises(BundleError, match=f"{group}: w"):
        checkpoint.load(good)


def test_a_full_disk_leaves_the_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from safetensors import SafetensorError

    (good,) = fill(tmp_path, 1)
    for error in (OSError(28, "No space left on device"), SafetensorError("Error while serializing: IoError(No space left on device)")):

        def full(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(checkpoint, "save_file", full)
        with pytest.raises(BundleError, match="No space left"):
            checkpoint.save(step_path(tmp_path, 2), make(2))
        assert list(tmp_path.iterdir()) == [good]


def test_a_file_that_is_no_safetensors_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "save_file", lambda tensors, path: Path(path).write_bytes(b"\x80\x04cos\nsystem\n"))
    checkpoint.save(tmp_path / "step-000000001", make())
    with pytest.raises(BundleError, match="cannot be read"):
        checkpoint.load(tmp_path / "step-000000001")


def test_the_state_is_read_without_the_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = fill(tmp_path, 1)
    whole = checkpoint.load(path)
    monkeypatch.delattr(checkpoint, "load_file")
    assert checkpoint.state(path) == whole.state and whole.state["step"] == 1
    (path / "state.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        checkpoint.state(path)


def test_copy_into_lists_all_differences_and_copies_nothing() -> None:
    live: dict[str, Tensor] = {"same": torch.zeros(2), "gone": torch.zeros(1), "wide": torch.zeros(2, 3)}
    saved = {"same": torch.ones(2), "new": torch.ones(4), "wide": torch.ones(2, 4)}
    with pytest.raises(BundleError) as error:
        copy_into(live, saved, "dense")
    for text in ("gone is saved as absent", "new is saved as float32 [4], the model has absent", "wide is saved as float32 [2, 4]", "(dense)"):
        assert text in str(error.value)
    assert torch.equal(live["same"], torch.zeros(2))


def test_the_checkpoint_of_another_model_is_refused(tiny: Any, trained: Any) -> None:
    """Another model's checkpoint, put where the run's own would lie."""
    tiny.train("narrow", "model.embedding_dim=8", "training.early_stopping=null", stop_at=3)
    narrow = tiny.folder / "runs/narrow"
    stray = tiny.folder / "runs/stray"
    shutil.copytree(narrow, stray)
    shutil.rmtree(stray / "checkpoints/step-000000003")
    shutil.copytree(trained.path / "checkpoints/step-000000008", stray / "checkpoints/step-000000008")
    (stray / "config.yaml").write_text((narrow / "config.yaml").read_text().replace("narrow", "stray"))
    with pytest.raises(BundleError, match="model.embedding_dim was 4, is 8"):
        tiny.train("stray", "model.embedding_dim=8", "training.early_stopping=null")


def test_from_goes_back(tiny: Any) -> None:
    run = tiny.train("rewound", "training.early_stopping=null", "training.checkpoints.keep=9")
    state, report = tiny.state("rewound"), run.report_file.read_bytes()
    first, last = sorted(run.checkpoints.iterdir())
    flip(last / "dense-00000.safetensors")
    from mtrec.jobs.train import train

    config = tiny.config("rewound", "training.early_stopping=null", "training.checkpoints.keep=9")
    with pytest.raises(BundleError, match=f"--from {first}"):
        train(config)
    train(config, start_from=first)
    assert tiny.state("rewound") == state
    assert run.report_file.read_bytes() == report
    assert json.loads((last / "state.json").read_text())["finished"] is True


def test_a_checkpoint_of_another_version_is_refused_with_both() -> None:
    from mtrec.training.restore import refuse_another_run

    meta = {"config": {"seed": 0}, "digest": "a", "mtrec": "0.1.0"}
    refuse_another_run(meta, dict(meta))
    with pytest.raises(BundleError, match="mtrec 0.0.9 wrote it, this is 0.1.0"):
        refuse_another_run({**meta, "mtrec": "0.0.9"}, meta)
