"""Running statistics of batch normalisation: kept in checkpoints, so that a broken run ends like a whole one; used where scores are judged."""

from typing import Any

import pytest
import torch
from safetensors.torch import load_file

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


def test_running_statistics_are_kept_and_stand_beside_the_averaged_weights(whole: Any) -> None:
    from mtrec.jobs.load import load_run
    from mtrec.training import checkpoint

    loaded = load_run(whole.path)
    best = checkpoint.load(checkpoint.latest(whole.checkpoints)).state["best_step"]
    folder = checkpoint.step_path(whole.checkpoints, best)
    dense, average = load_file(folder / "dense-00000.safetensors"), load_file(folder / "average-00000.safetensors")
    state = loaded.model.ranker.state_dict()
    names = [name for name in state if name.endswith(("norm.mean", "norm.variance"))]
    assert len(names) == 6
    for name in names:
        assert torch.equal(state[name], dense[name]) and f"dense/{name}" not in average
        assert not torch.equal(state[name], torch.full_like(state[name], float(name.endswith("variance"))))
    weight = next(name for name in state if name.endswith("norm.weight"))
    assert torch.equal(state[weight], average[f"dense/{weight}"])


def test_categories_decide_the_groups(whole: Any) -> None:
    from mtrec.jobs.load import load_run

    architecture = load_run(whole.path).model.ranker.architecture
    assert architecture.num_categories == 2 and architecture.category_of_task.tolist() == [0, 1, 1]
