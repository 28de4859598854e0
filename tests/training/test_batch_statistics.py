"""Running statistics of batch normalisation: kept in checkpoints, so that a broken run ends like a whole one; averaged as weights are."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from mtrec.errors import BundleError

HOME = (
    "model.architecture={kind: home, expert_width: 8, num_meta_shared: 1, num_meta_category: 1, num_shared: 1, num_category: 1, lora_rank: 2}",
    "tasks.buy.category=depth",
    "tasks.seconds.category=depth",
    "training.early_stopping=null",
    "training.batch_size=111",  # 1000 train rows: the last batch of an epoch has one.
    "training.checkpoints.keep=9",
)


@pytest.fixture(scope="module")
def whole(tiny: Any) -> Any:
    return tiny.train("whole-home", *HOME)


def test_a_broken_run_ends_like_a_whole_one(tiny: Any, whole: Any) -> None:
    tiny.train("broken-home", *HOME, stop_at=4)
    tiny.train("broken-home", *HOME, stop_at=6)  # after the batch of one row, the tenth
    tiny.train("broken-home", *HOME)
    assert tiny.state("broken-home") == tiny.state("whole-home")


def test_running_statistics_are_judged_as_they_are_averaged(tiny: Any, whole: Any) -> None:
    """Those of the live weights do not fit averaged ones."""
    from mtrec.jobs.load import load_run
    from mtrec.training import checkpoint

    best = checkpoint.load(checkpoint.latest(whole.checkpoints)).state["best_step"]
    average = load_file(checkpoint.step_path(whole.checkpoints, best) / "average-00000.safetensors")
    loaded = load_run(whole.path)
    state = loaded.model.ranker.state_dict()
    statistics = [name for name in state if name.endswith(("norm.mean", "norm.variance"))]
    assert len(statistics) == 6 and average.keys() == {f"dense/{name}" for name in state if state[name].is_floating_point()}
    assert all(torch.equal(value, state[name.removeprefix("dense/")]) for name, value in average.items())

    assert loaded.config.training.ema is not None
    decay = loaded.config.training.ema.decay
    tiny.train("steps-home", *HOME, "training.checkpoints.every_steps=1", stop_at=3)
    folder = tiny.folder / "runs" / "steps-home" / "checkpoints"
    found = [checkpoint.load(checkpoint.step_path(folder, step)).tensors for step in (1, 2, 3)]
    for name in statistics:
        expected = torch.full_like(state[name], float(name.endswith("variance")))
        for step, tensors in enumerate(found):
            kept = min(decay, (1 + step) / (10 + step))
            expected = kept * expected + (1 - kept) * tensors["dense"][name]
            assert_close(tensors["average"][f"dense/{name}"], expected, rtol=1e-5, atol=1e-7)
            assert not torch.equal(tensors["average"][f"dense/{name}"], tensors["dense"][name])


def test_a_checkpoint_without_averaged_statistics_is_refused(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as were written when only weights were averaged: going on from them would judge by statistics that nobody counted."""
    from mtrec.training import checkpoint

    load = checkpoint.load

    def older(path: Path) -> checkpoint.Snapshot:
        snapshot = load(path)
        average = {name: value for name, value in snapshot.tensors["average"].items() if not name.endswith(("norm.mean", "norm.variance"))}
        return snapshot._replace(tensors={**snapshot.tensors, "average": average})

    tiny.train("older-home", *HOME, stop_at=3)
    monkeypatch.setattr(checkpoint, "load", older)
    with pytest.raises(BundleError, match=r"norm\.mean is saved as absent, the model has float32 .*\(average\)"):
        tiny.train("older-home", *HOME)


def test_categories_decide_the_groups(whole: Any) -> None:
    from mtrec.jobs.load import load_run

    architecture = load_run(whole.path).model.ranker.architecture
    assert architecture.num_categories == 2 and architecture.category_of_task.tolist() == [0, 1, 1]
