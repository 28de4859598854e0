"""The loop: batches in order, one backward a step, an epoch's end that judges, a state that goes on bit for bit."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtrec.config import Training
from mtrec.data.reader import Reader
from mtrec.errors import BundleError, TrainingError
from mtrec.objective.task_losses import BatchLosses, TaskLosses
from mtrec.training import checkpoint
from mtrec.training.assemble import RankingModel
from mtrec.training.early_stopping import BestEpoch
from mtrec.training.ema import AveragedWeights
from mtrec.training.optimizers import DenseStep, schedule_factor
from mtrec.types import Batch, Signals

__all__ = ["Trainer"]

LOG_EVERY = 20  # Steps between two lines of the training loss.


class Trainer:
    """Trains built objects, and keeps the best epoch.

    Args:
        judge: the valid metrics of the model as it stands, such as {"mean_auc": .., "buy/auc": ..}.
        log: called with {name: value}, step and epoch.
        checkpoints: directory of the checkpoints.
        meta: kept in each checkpoint, and compared when one is loaded.
        on_step: called with the number of rows of each step.
    """

    def __init__(
        self,
        model: RankingModel,
        losses: TaskLosses,
        weighting: nn.Module,
        reader: Reader,
        tasks: list[str],
        config: Training,
        judge: Callable[[], dict[str, float]],
        log: Callable[[dict[str, float], int, int], None],
        checkpoints: Path,
        meta: dict[str, Any],
        on_step: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.model, self.losses, self.weighting, self.reader, self.tasks = model, losses, weighting, reader, tasks
        self.config, self.judge, self.log, self.on_step = config, judge, log, on_step
        self.checkpoints, self.meta = checkpoints, meta
        self.dense = DenseStep(model.ranker, config.optimizers.dense)
        self.average = AveragedWeights(self._averaged(), config.ema.decay) if config.ema is not None else None
        self.best = BestEpoch(config.early_stopping)
        self.step = self.epoch = self.row = 0
        self.num_lines = 0
        self.best_step: int | None = None
        self.finished = False
        self.stop_requested = False
        self.loss_sum_T = torch.zeros(len(tasks), dtype=torch.float64)
        self.loss_count_T = torch.zeros(len(tasks), dtype=torch.float64)
        model.gradient_hook = self._check_gradient

    def fit(self) -> None:
        """Train until the epochs are over or no epoch is better any more; leave the best epoch's weights in the model.

        Raises:
            TrainingError: before the update, if a loss or gradient is not finite.
            SystemExit: 143, after a checkpoint, if `stop_requested` was set.
        """
        while not self.finished:
            self.model.train()
            for batch in self.reader.epoch(self.epoch, self.row):
                self._step(batch)
                every = self.config.checkpoints.every_steps
                if self.stop_requested or (every is not None and self.step % every == 0):
                    self.save()
                if self.stop_requested:
                    raise SystemExit(143)
            self._end_epoch()
        self.restore_best()

    def request_stop(self) -> None:
        """Stop after the step at hand, with a checkpoint; asked a second time, stop at once."""
        if self.stop_requested:
            os._exit(143)
        self.stop_requested = True

    def _step(self, batch: Batch) -> None:
        self._batch = batch
        factor = schedule_factor(self.config.schedule, self.step, self.config.epochs * len(self.reader))
        self.dense.set_factor(factor)
        self.model.embeddings.set_lr(self.config.optimizers.embeddings.lr * factor)
        labels = self.model.outputs.standardise(batch.labels)
        losses: BatchLosses = self.losses(self.model(batch), labels, batch.label_mask, batch.weight)
        self._check_losses(losses)
        signals = Signals(
            self.step,
            torch.where(losses.present, losses.mean.detach(), math.nan),
            losses.per_sample.detach(),
            batch.label_mask,
        )
        total = (self.weighting.weights(signals) * self.losses.task_weight_T * losses.mean).sum()
        total.backward()
        norms = torch.stack(torch._foreach_norm([p.grad for p in self.dense.parameters.values() if p.grad is not None]))
        if not bool(norms.isfinite().all()):
            raise TrainingError("A gradient is not finite", where=self._where(), do=_ADVICE)
        self.dense.step()
        if self.average is not None:
            self.average.update()
        self.step += 1
        self.row += self.reader.batch_size
        self.loss_sum_T += losses.mean.detach().double()
        self.loss_count_T += losses.present
        if self.step % LOG_EVERY == 0:
            self._log_losses()
        self.on_step(len(batch.weight))

    def _end_epoch(self) -> None:
        self._log_losses()
        with self.averaged():
            metrics = self.judge()
        self._log({f"valid/{name}": value for name, value in metrics.items()})
        if self.best.is_better(metrics):
            self.best_step = self.step
        self.epoch, self.row = self.epoch + 1, 0
        self.finished = self.epoch >= self.config.epochs or self.best.exhausted
        self.save()

    def averaged(self) -> Any:
        """The block in which the model has the weights that are judged: the averaged ones, if there are any."""
        return self.average.applied() if self.average is not None else torch.no_grad()

    def save(self) -> None:
        """Write a checkpoint of this very moment."""
        checkpoint.save(checkpoint.step_path(self.checkpoints, self.step), self.snapshot(), self.meta)
        best = checkpoint.step_path(self.checkpoints, self.best_step) if self.best_step is not None else None
        checkpoint.prune(self.checkpoints, self.config.checkpoints.keep, best)

    def snapshot(self) -> checkpoint.Snapshot:
        """Everything needed to go on bit for bit."""
        tensors = {
            "dense": self.model.ranker.state_dict(),
            "average": self.average.average if self.average is not None else {},
            "optimizer": self.dense.state(),
            "tables": self.model.embeddings.tables(),
            "tables_optimizer": self.model.embeddings.optimizer_state(),
            "training": {
                **{f"weighting/{name}": value for name, value in self.weighting.state_dict().items()},
                "random": torch.get_rng_state(),
                "loss_sum": self.loss_sum_T,
                "loss_count": self.loss_count_T,
            },
        }
        keys = ("step", "epoch", "row", "num_lines", "best_step", "finished")
        return checkpoint.Snapshot(tensors, {**{key: getattr(self, key) for key in keys}, "best": self.best.state()})

    def resume(self, snapshot: checkpoint.Snapshot) -> None:
        """Take over a snapshot: weights, optimizers, averages, the place in the log, and the random state."""
        self.load_weights(snapshot)
        tensors, state = snapshot
        self.dense.load_state(tensors["optimizer"])
        copy_into(self.model.embeddings.optimizer_state(), tensors["tables_optimizer"], "tables_optimizer")
        if self.average is not None:
            self.average.load(tensors["average"])
        training = tensors["training"]
        prefix = "weighting/"
        self.weighting.load_state_dict({name.removeprefix(prefix): value for name, value in training.items() if name.startswith(prefix)})
        torch.set_rng_state(training["random"])
        self.loss_sum_T, self.loss_count_T = training["loss_sum"], training["loss_count"]
        self.best.load(state["best"])
        for key in ("step", "epoch", "row", "num_lines", "best_step", "finished"):
            setattr(self, key, state[key])

    def load_weights(self, snapshot: checkpoint.Snapshot) -> None:
        copy_into(self.model.ranker.state_dict(), snapshot.tensors["dense"], "dense")
        copy_into(self.model.embeddings.tables(), snapshot.tensors["tables"], "tables")

    def restore_best(self) -> None:
        """Put the judged weights of the best epoch into the model."""
        assert self.best_step is not None
        load_judged_weights(self.model, checkpoint.load(checkpoint.step_path(self.checkpoints, self.best_step)))

    def _averaged(self) -> dict[str, Tensor]:
        live: dict[str, Tensor] = {f"dense/{name}": parameter for name, parameter in self.model.ranker.named_parameters()}
        if self.config.ema is not None and self.config.ema.tables:
            live |= {f"tables/{name}": table for name, table in self.model.embeddings.tables().items()}
        return live

    def _log_losses(self) -> None:
        seen = self.loss_count_T > 0
        means = (self.loss_sum_T / self.loss_count_T.clamp(min=1)).tolist()
        self._log({f"train/loss/{name}": value for name, value, known in zip(self.tasks, means, seen.tolist(), strict=True) if known})
        self.loss_sum_T.zero_()
        self.loss_count_T.zero_()

    def _log(self, values: dict[str, float]) -> None:
        self.log(values, self.step, self.epoch)
        self.num_lines += len(values)

    def _check_losses(self, losses: BatchLosses) -> None:
        if not bool(losses.mean.isfinite().all()):
            bad = [name for name, value in zip(self.tasks, losses.mean.tolist(), strict=True) if not math.isfinite(value)]
            raise TrainingError(f"The loss of {', '.join(bad)} is not finite", where=self._where(), do=_ADVICE)

    def _check_gradient(self, gradient: Tensor) -> None:
        # Before the tables learn from it: their optimizer runs inside the backward pass.
        if not bool(gradient.sum().isfinite()):
            raise TrainingError("The gradient of the embeddings is not finite", where=self._where(), do=_ADVICE)

    def _where(self) -> str:
        rows = self._batch.row
        span = f"log rows {int(rows.min())} to {int(rows.max())}" if rows.numel() else "no rows"
        return f"step {self.step}, epoch {self.epoch}, batch at row {self._batch.cursor.row} of the epoch, {span}"


_ADVICE = "Nothing was updated. Lower the learning rates, or look at the labels and weights of these rows."


def copy_into(live: dict[str, Tensor], saved: dict[str, Tensor], what: str) -> None:
    """Copy saved tensors into the live ones of the same names and shapes.

    Raises:
        BundleError: listing what differs.
    """
    differing = [f"{name} is saved as {_shape(saved.get(name))}, the model has {_shape(live.get(name))}" for name in sorted(live.keys() | saved.keys()) if _shape(saved.get(name)) != _shape(live.get(name))]
    if differing:
        raise BundleError(f"The checkpoint belongs to another model: {'; '.join(differing[:8])}", where=what, do="Use the configuration it was trained with.")
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(saved[name])


def load_judged_weights(model: RankingModel, snapshot: checkpoint.Snapshot) -> None:
    """Put the weights that were judged, averages where they were kept, into a model."""
    dense, tables = dict(snapshot.tensors["dense"]), dict(snapshot.tensors["tables"])
    for name, value in snapshot.tensors.get("average", {}).items():
        group, _, key = name.partition("/")
        (dense if group == "dense" else tables)[key] = value
    copy_into(model.ranker.state_dict(), dense, "dense")
    copy_into(model.embeddings.tables(), tables, "tables")


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(list(tensor.shape))
