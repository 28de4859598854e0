"""Tasks against models of their own: what the twins are, that stopped ones go on, and what the report says."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mtrec.errors import ConfigError


@pytest.fixture
def copied(tiny: Any, trained: Any, request: pytest.FixtureRequest) -> Any:
    """A run of one's own to train beside."""
    from mtrec.jobs.load import load_run

    path = tiny.folder / "runs" / f"twins-{request.node.name}"
    shutil.copytree(trained.path, path)
    return load_run(path)


def num_dense(model: Any) -> int:
    return sum(parameter.numel() for part in (model.ranker.architecture, model.ranker.towers) for parameter in part.parameters())


@pytest.mark.parametrize("name", ["click", "buy", "seconds"])
def test_a_twin_has_the_size_of_the_run_and_its_own_metric(loaded: Any, name: str) -> None:
    from mtrec.data.one_task import OneTask
    from mtrec.sections import EarlyStopping
    from mtrec.training.assemble import build_model
    from mtrec.training.twin import twin_of

    config = loaded.config.model_copy(update={"training": loaded.config.training.model_copy(update={"early_stopping": EarlyStopping(patience=4)})})
    twin = twin_of(config, name, loaded.model)
    model = build_model(twin, OneTask(loaded.prepared, list(config.tasks).index(name)))
    budget = num_dense(loaded.model)
    assert 0.9 * budget <= num_dense(model) <= budget
    assert list(twin.tasks) == [name] and twin.tasks[name].given is None and twin.model.architecture.kind == "single_task"
    assert twin.training.early_stopping == EarlyStopping(metric=f"{name}/{'rmse' if name == 'seconds' else 'auc'}", patience=4)
    assert (twin.features, twin.training.optimizers, twin.training.epochs) == (config.features, config.training.optimizers, config.training.epochs)
    assert model.ranker.encoder.output_width == loaded.model.ranker.encoder.output_width


@pytest.mark.parametrize(
    ("encoder", "architecture"),
    [
        ("{kind: tokens}", "{kind: multitab, num_heads: 2}"),
        ("{kind: stem}", "{kind: ple, expert_hidden: [8], task_experts: [1, 2, 3], stop_other_tasks: true}"),
        ("{kind: dtrn}", "{kind: mmoe, num_experts: 2, expert_hidden: [[8], [4]]}"),
        ("{kind: concat}", "{kind: home, expert_width: 8, lora_rank: 2}"),
    ],
)
def test_every_kind_of_encoder_has_a_twin_that_scores(tiny: Any, encoder: str, architecture: str) -> None:
    from mtrec.data.one_task import OneTask
    from mtrec.jobs.prepare import prepare
    from mtrec.training.assemble import build_model
    from mtrec.training.scoring import score
    from mtrec.training.twin import twin_of

    config = tiny.config("kinds", f"model.encoder={encoder}", f"model.architecture={architecture}")
    prepared = prepare(config)
    twin, view = twin_of(config, "buy", build_model(config, prepared)), OneTask(prepared, 1)
    scores = score(build_model(twin, view), view.reader("test", 512))
    assert scores.predictions.shape == scores.mask.shape == (250, 1)


def test_a_task_alone_sees_its_own_rows_and_no_other_label(loaded: Any) -> None:
    from mtrec.data.one_task import OneTask

    whole, alone = (prepared.reader("train", 128, 3) for prepared in (loaded.prepared, OneTask(loaded.prepared, 1)))
    for all_tasks, buy in zip(whole.epoch(1), alone.epoch(1), strict=True):
        assert torch.equal(buy.labels, all_tasks.labels[:, 1:2]) and torch.equal(buy.label_mask, all_tasks.label_mask[:, 1:2])
        assert not bool(buy.label_mask[all_tasks.labels[:, 0] == 0].any())  # Known after a click only.
        assert torch.equal(buy.ids, all_tasks.ids) and torch.equal(buy.row, all_tasks.row)


def test_a_stopped_model_goes_on_to_the_same_metrics(copied: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from mtrec.data.one_task import OneTask
    from mtrec.jobs import beside
    from mtrec.jobs.trainer import build_trainer
    from mtrec.training.twin import twin_of

    twin, view = twin_of(copied.config, "click", copied.model), OneTask(copied.prepared, 0)
    whole = beside.trained_beside(twin, view, tmp_path / "whole", 7, lambda done: None)

    def stopping(*arguments: Any) -> Any:
        trainer = build_trainer(*arguments)
        trainer.on_step = lambda rows: os.kill(os.getpid(), signal.SIGTERM) if trainer.step == 11 else None
        return trainer

    monkeypatch.setattr(beside, "build_trainer", stopping)
    with pytest.raises(SystemExit):
        beside.trained_beside(twin, view, tmp_path / "stopped", 7, lambda done: None)
    assert len(list((tmp_path / "stopped" / "checkpoints").iterdir())) > 0
    monkeypatch.undo()
    assert beside.trained_beside(twin, view, tmp_path / "stopped", 7, lambda done: None) == whole
    monkeypatch.setattr(beside, "build_model", None)  # What is done is not done again.
    assert beside.trained_beside(twin, view, tmp_path / "stopped", 7, lambda done: None) == whole
    assert not (tmp_path / "stopped" / "checkpoints").exists()
    assert (tmp_path / "stopped" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_evaluate_tells_who_is_helped(copied: Any, call: Callable[..., tuple[int, str, str]]) -> None:
    path, before = copied.run.path, json.loads((copied.run.path / "report.json").read_text())
    code, told, error = call("evaluate", path, "--single-task")
    assert (code, error) == (0, "") and "all-tasks-seed-1 done" in told and "buy-seed-2 done" in told
    report = json.loads((path / "report.json").read_text())
    assert report["tasks"] == before["tasks"] and report["single_task"]["seeds"] == [0, 1, 2]
    for task, metric in (("click", "auc"), ("buy", "auc"), ("seconds", "rmse")):
        found = report["single_task"]["tasks"][task]
        assert found["metric"] == metric and found["verdict"] in ("helped", "hurt", "no evidence")
        assert found["together"][0] == pytest.approx(before["tasks"][task][metric]["value"], abs=1e-6)
        gains = [a - b if metric == "auc" else b - a for a, b in zip(found["together"], found["alone"], strict=True)]
        assert found["gain"] == pytest.approx(sum(gains) / 3) and found["low"] < found["gain"] < found["high"]
        assert f"{task} with the others: {found['verdict']}" in " ".join(told.split())
    folders = {folder.name for folder in (path / "single_task").iterdir()}
    assert folders == {"all-tasks-seed-1", "all-tasks-seed-2", *(f"{task}-seed-{seed}" for task in ("click", "buy", "seconds") for seed in range(3))}
    assert "Helped or hurt by the other tasks" in (path / "report.html").read_text()


@pytest.mark.parametrize(("split", "seeds", "message"), [("valid", 3, "on test only"), ("test", 2, "several seeds")])
def test_other_splits_and_too_few_seeds_are_refused(copied: Any, split: str, seeds: int, message: str) -> None:
    from mtrec.jobs.evaluate import evaluate_run

    with pytest.raises(ConfigError, match=message):
        evaluate_run(copied, split, seeds=seeds)
