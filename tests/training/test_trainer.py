"""One step at a time: masks, guards, precision, learning."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from mtrec.errors import BundleError, TrainingError

TrainerOf = Callable[..., Any]
GOLDEN = {"train/loss/click": 0.6860350370407104, "train/loss/buy": 0.6753695830702782, "train/loss/seconds": 1.064583994448185}


@pytest.fixture
def trainer(tiny: Any, trained: Any, tmp_path_factory: pytest.TempPathFactory) -> TrainerOf:
    """A trainer on the tiny log, before its first step."""

    def make(*overrides: str) -> Any:
        from mtrec.jobs.prepare import prepare
        from mtrec.training.assemble import build_model
        from mtrec.training.objective import build_objective
        from mtrec.training.trainer import Trainer

        config = tiny.config("by-hand", "model.towers.dropout=0", *overrides)
        prepared = prepare(config)
        model = build_model(config, prepared)
        return Trainer(
            model,
            build_objective(config, model, prepared),
            prepared.reader("train", config.training.batch_size, config.seed),
            list(config.tasks),
            config.training,
            judge=dict,
            log=lambda values, step, epoch: None,
            checkpoints=tmp_path_factory.mktemp("checkpoints"),
            meta={},
        )

    return make


def first_batch(trainer: Any) -> Any:
    return next(iter(trainer.reader.epoch(0)))


def weights_of(trainer: Any) -> dict[str, Tensor]:
    found = {**trainer.model.ranker.state_dict(), **trainer.model.embeddings.tables(), **trainer.model.embeddings.optimizer_state()}
    return {name: value.clone() for name, value in found.items()}


def assert_unchanged(trainer: Any, before: dict[str, Tensor]) -> None:
    after = weights_of(trainer)
    assert after.keys() == before.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def dense_gradients(trainer: Any, batch: Any) -> dict[str, Tensor]:
    """The gradients that the dense optimizer would see."""
    trainer.dense.step = lambda: None
    trainer._step(batch)
    return {name: parameter.grad.clone() for name, parameter in trainer.dense.parameters.items()}


def test_an_unknown_label_has_no_gradient_whatever_stands_there(trainer: TrainerOf) -> None:
    """A row whose click is unknown counts for the other tasks only: the same as a click loss over the other rows."""
    one, other = trainer(), trainer()
    batch = first_batch(one)
    mask, labels = batch.label_mask.clone(), batch.labels.clone()
    mask[5, 0], labels[5, 0] = False, torch.nan
    found = dense_gradients(one, batch._replace(label_mask=mask, labels=labels))

    logits = other.model.train()(batch)
    known = batch.label_mask.clone()
    rows = torch.arange(len(known)) != 5
    targets = other.model.outputs.standardise(batch.labels)
    total = torch.zeros(())
    for task in range(3):
        chosen = known[:, task] & rows if task == 0 else known[:, task]
        weight = batch.weight[chosen]
        if task < 2:
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits[chosen, task], targets[chosen, task], reduction="none")
        else:
            loss = (logits[chosen, task] - targets[chosen, task]) ** 2
        total = total + (1.0, 1.0, 0.5)[task] * (weight * loss).sum() / weight.sum()
    expected = torch.autograd.grad(total, list(other.dense.parameters.values()))
    for (name, gradient), reference in zip(found.items(), expected, strict=True):
        torch.testing.assert_close(gradient, reference, msg=name)


def test_a_batch_without_a_known_label_of_a_task_trains_on(trainer: TrainerOf) -> None:
    made = trainer()
    batch = first_batch(made)
    mask = batch.label_mask.clone()
    mask[:, 1] = False
    made._step(batch._replace(label_mask=mask))
    assert made.step == 1 and made.loss_count_T.tolist() == [1, 0, 1]
    made._step(batch._replace(label_mask=torch.zeros_like(mask)))
    made._step(batch)
    assert made.step == 3 and all(value.isfinite().all() for value in weights_of(made).values())


def test_the_loss_of_a_task_that_was_never_seen_is_not_logged(trainer: TrainerOf) -> None:
    made, lines = trainer(), {}
    made.log = lambda values, step, epoch: lines.update(values)
    batch = first_batch(made)
    mask = batch.label_mask.clone()
    mask[:, 1] = False
    made._step(batch._replace(label_mask=mask))
    made._log_losses()
    assert sorted(lines) == ["train/loss/click", "train/loss/seconds"]


def poison_weights(trainer: Any, batch: Any) -> Any:
    weight = batch.weight.clone()
    weight[3] = torch.nan
    return batch._replace(weight=weight)


def poison_label(trainer: Any, batch: Any) -> Any:
    labels = batch.labels.clone()
    row = int(batch.label_mask[:, 0].nonzero()[0])
    labels[row, 0] = torch.inf
    return batch._replace(labels=labels)


def poison_logits(trainer: Any, batch: Any) -> Any:
    real = trainer.model.ranker.forward

    def forward(features: Any) -> Tensor:
        logits: Tensor = real(features).clone()
        logits[:, 0] = torch.nan
        return logits

    trainer.model.ranker.forward = forward
    return batch


@pytest.mark.parametrize("poison", [poison_weights, poison_label, poison_logits])
def test_a_loss_that_is_not_finite_stops_before_the_update(trainer: TrainerOf, poison: Any) -> None:
    made = trainer()
    made._step(first_batch(made))
    before = weights_of(made)
    batch = poison(made, first_batch(made))
    with pytest.raises(TrainingError) as error:
        made._step(batch)
    assert_unchanged(made, before)
    assert made.step == 1
    rows = f"log rows {int(batch.row.min())} to {int(batch.row.max())}"
    for text in ("loss of", "click", "step 1, epoch 0, batch at row 0", rows, "Nothing was updated"):
        assert text in str(error.value)


def test_a_weighting_that_is_not_finite_is_named(trainer: TrainerOf) -> None:
    made = trainer()
    made.objective.weighting.weights = lambda signals: torch.tensor([1.0, torch.nan, 1.0])
    before = weights_of(made)
    with pytest.raises(TrainingError, match="weight of buy is not finite"):
        made._step(first_batch(made))
    assert_unchanged(made, before)


def test_the_weighting_never_sees_a_loss_that_is_not_finite(trainer: TrainerOf) -> None:
    made = trainer()
    made.objective.weighting.weights = lambda signals: pytest.fail("it was asked")
    with pytest.raises(TrainingError):
        made._step(poison_weights(made, first_batch(made)))


class NanGradient(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        return x.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return gradient * torch.nan


@pytest.mark.parametrize("part", ["flat", "fields"])
def test_a_gradient_of_the_embeddings_that_is_not_finite_stops_before_the_update(trainer: TrainerOf, part: str) -> None:
    made = trainer()
    batch = first_batch(made)
    real = made.model.ranker.forward

    def forward(features: Any) -> Tensor:
        poisoned = NanGradient.apply(getattr(features, part))
        if part == "flat":
            return real(features._replace(flat=poisoned))
        return real(features) + poisoned.mean()

    made.model.ranker.forward = forward
    before = weights_of(made)
    with pytest.raises(TrainingError, match="gradient of the embeddings is not finite.*step 0.*log rows"):
        made._step(batch)
    assert_unchanged(made, before)


def test_a_dense_gradient_that_is_not_finite_names_the_parameter(trainer: TrainerOf) -> None:
    made = trainer()
    name, parameter = next(iter(made.dense.parameters.items()))
    parameter.register_hook(lambda gradient: gradient * torch.nan)
    before = weights_of(made)
    with pytest.raises(TrainingError) as error:
        made._step(first_batch(made))
    assert name in str(error.value) and "step 0" in str(error.value)
    dense = made.model.ranker.state_dict()
    assert all(torch.equal(before[key], dense[key]) for key in dense)


def test_a_run_that_becomes_infinite_ends_as_a_training_error(tiny: Any) -> None:
    """One batch an epoch: the first that meets the ruined weights is the judging of valid."""
    with pytest.raises(TrainingError):
        tiny.train("ruined", "training.optimizers.dense.lr=1.0e+30", "training.batch_size=1000", "training.ema=null")
    assert not list((tiny.folder / "runs/ruined/checkpoints").iterdir())


def test_the_schedule_moves_both_rates(trainer: TrainerOf) -> None:
    made = trainer("training.schedule={warmup_steps: 4, decay: none}")
    rates = []
    made.model.embeddings.set_lr = rates.append
    for batch in list(made.reader.epoch(0))[:4]:
        made._step(batch)
        rates.append(made.dense.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([0.0025, 0.00025, 0.005, 0.0005, 0.0075, 0.00075, 0.01, 0.001])


def test_sgd_takes_the_step_that_the_schedule_allows(trainer: TrainerOf) -> None:
    """Half the learning rate moves the tables half as far."""
    moved = []
    for options in ("{warmup_steps: 0}", "{warmup_steps: 2}"):
        made = trainer("training.optimizers.embeddings={kind: sgd, lr: 0.1}", f"training.schedule={options}")
        before = {name: table.clone() for name, table in made.model.embeddings.tables().items()}
        made._step(first_batch(made))
        moved.append(torch.cat([(table - before[name]).flatten() for name, table in made.model.embeddings.tables().items()]))
    assert moved[0].abs().max() > 1e-5
    torch.testing.assert_close(moved[1] * 2, moved[0], rtol=1e-3, atol=1e-7)


def test_bf16_trains_and_judges_in_float32(trainer: TrainerOf) -> None:
    made = trainer("training.precision=bf16")
    batch = first_batch(made)
    seen: list[Any] = []
    made.model.ranker.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    first = None
    for _ in range(30):
        made._step(batch)
        first = first if first is not None else made.loss_sum_T.clone()
        last, made.loss_sum_T = made.loss_sum_T, torch.zeros_like(made.loss_sum_T)
    assert set(seen) == {torch.bfloat16}
    assert (last < first).all()
    seen.clear()
    made.model.eval()
    assert made.model(batch).dtype == torch.float32
    assert set(seen) == {torch.float32}


def test_bf16_through_the_job(tiny: Any) -> None:
    run = tiny.train("bf16", "training.precision=bf16", "training.epochs=1")
    assert json.loads(run.report_file.read_text())["tasks"]["click"]["auc"]["value"] is not None


def test_resume_refuses_what_another_trainer_saved(trainer: TrainerOf) -> None:
    made = trainer()
    made._step(first_batch(made))
    good = made.snapshot()
    for overrides, text in (
        (("training.ema=null",), "average"),
        (("training.optimizers.dense.kind=adagrad",), "optimizer"),
        (("training.optimizers.embeddings.kind=sgd",), "tables_optimizer"),
        (("model.towers.hidden=[5]",), "dense"),
    ):
        with pytest.raises(BundleError, match=text):
            trainer(*overrides).resume(copy.deepcopy(good))
    other = trainer()
    other.resume(copy.deepcopy(good))
    assert_unchanged(other, weights_of(made))


def test_the_best_epoch_is_what_a_run_ends_with(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judged best in its second of four epochs, a run is that epoch's averages, in memory, in its report and when it is loaded again."""
    from mtrec.jobs import train as job
    from mtrec.jobs.load import load_run
    from mtrec.training import checkpoint

    aucs = iter([0.5, 0.9, 0.6, 0.7, 0.0])
    monkeypatch.setattr(job, "flat", lambda report: {"mean_auc": next(aucs)})
    run = tiny.train("best", "training.epochs=4", "training.early_stopping.patience=5", "training.checkpoints.keep=1")
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-000000016", "step-000000032"]
    best, last = (checkpoint.load(path) for path in sorted(run.checkpoints.iterdir()))
    loaded = load_run(run.path)
    for name, value in loaded.model.ranker.state_dict().items():
        assert torch.equal(value, best.tensors["average"][f"dense/{name}"]) and not torch.equal(value, last.tensors["average"][f"dense/{name}"])
    for name, value in loaded.model.embeddings.tables().items():
        assert torch.equal(value, best.tensors["tables"][name]), name
    from mtrec.jobs.evaluate import evaluate_run

    report = run.report_file.read_bytes()
    evaluate_run(loaded)
    assert run.report_file.read_bytes() == report


def test_patience_ends_a_run_early(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.jobs import train as job

    aucs = iter([0.5, 0.4, 0.0])
    monkeypatch.setattr(job, "flat", lambda report: {"mean_auc": next(aucs)})
    run = tiny.train("patient", "training.epochs=9")
    assert max(line["step"] for line in run.history()) == 16


def test_one_thread_or_two_give_the_pinned_first_losses(tiny: Any) -> None:
    for threads in (1, 2):
        run = tiny.train(f"golden-{threads}", "training.epochs=1", f"training.threads={threads}")
        losses = {line["name"]: line["value"] for line in run.history() if line["name"].startswith("train/")}
        assert losses == pytest.approx(GOLDEN, rel=1e-5)


def test_it_learns_what_the_log_hides(tiny: Any, tmp_path: Any) -> None:
    """The clicks of the generated log follow from the hidden tastes of users and items."""
    from mtrec.data.synthetic import write

    write(tmp_path / "log.parquet", 8000)
    split = ["log.split.valid_from=1700360000000", "log.split.test_from=1700420000000"]
    sizes = ["model.embedding_dim=8", "model.towers={hidden: [16]}", "training.batch_size=256", "training.epochs=20"]
    rates = ["training.optimizers={dense: {lr: 0.01}, embeddings: {lr: 0.1}}", "training.early_stopping=null"]
    run = tiny.train("learns", f"log.source={tmp_path / 'log.parquet'}", *split, *sizes, *rates)
    report = json.loads(run.report_file.read_text())["tasks"]
    assert report["click"]["auc"]["value"] > 0.65
