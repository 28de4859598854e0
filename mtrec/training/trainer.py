"""The loop: batches in order, one backward a step, an epoch's end that judges, a state that goes on bit for bit."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from mtrec import ranks
from mtrec.data.reader import Reader
from mtrec.sections import Training
from mtrec.training import checkpoint, guards
from mtrec.training.assemble import RankingModel
from mtrec.training.background import Background
from mtrec.training.early_stopping import BestEpoch
from mtrec.training.ema import AveragedWeights
from mtrec.training.objective import StepLoss, StepObjective
from mtrec.training.optimizers import DenseStep, schedule_factor
from mtrec.training.phases import Fit, Phase
from mtrec.training.restore import copy_into, here, load_judged_weights, refuse_another_run
from mtrec.types import Batch

__all__ = ["Trainer"]

LOG_EVERY = 20  # Steps between two lines of the training loss.
_COUNTERS = ("step", "epoch", "row", "num_lines", "best_step", "finished", "phase", "begun", "kept_step", "detour")


class Trainer:
    """Trains built objects, and keeps the best epoch.

    Args:
        judge: the valid metrics of the model as it stands, such as {"mean_auc": .., "buy/auc": ..}.
        log: called with {name: value}, step and epoch.
        checkpoints: directory of the checkpoints.
        meta: kept in each checkpoint, and compared when one is loaded.
        on_step: called with the number of rows of each step.

    Attributes:
        phases: what it goes through, one after the other.
        num_epochs: how many epochs the schedule of the learning rates is laid out for.
        kept_step: of a checkpoint that stays whatever is better, since later phases go on from it.
        detour: how many of the steps so far were not on the way of the model at hand: other phases'.
    """

    def __init__(
        self,
        model: RankingModel,
        objective: StepObjective,
        reader: Reader,
        tasks: list[str],
        config: Training,
        judge: Callable[[], dict[str, float]],
        log: Callable[[dict[str, float], int, int], None],
        checkpoints: Path,
        meta: dict[str, Any],
        on_step: Callable[[int], None] = lambda rows: None,
    ) -> None:
        self.model, self.objective, self.reader, self.tasks = model, objective, reader, tasks
        self.config, self.judge, self.log, self.on_step = config, judge, log, on_step
        self.checkpoints, self.meta = checkpoints, meta
        self.dense = DenseStep(objective.ranker, config.optimizers.dense)
        self.average = AveragedWeights(self._weights(), config.ema.decay, self._statistics()) if config.ema is not None else None
        self.best = BestEpoch(config.early_stopping)
        self.after_step: list[Any] = [module for module in model.ranker.modules() if hasattr(module, "after_step")]
        self.background = Background()
        self.phases: list[Phase] = [Fit(self, config.epochs)]
        self.num_epochs = config.epochs
        self.phase, self.begun = 0, False
        self.step = self.epoch = self.row = self.detour = 0
        self.num_lines = 0
        self.best_step: int | None = None
        self.kept_step: int | None = None
        self.finished = False
        self.stop_requested = self.stop_agreed = False
        self.loss_sum_T = torch.zeros(len(tasks), dtype=torch.float64)
        self.loss_count_T = torch.zeros(len(tasks), dtype=torch.float64)
        model.gradient_hook = lambda gradient: guards.check_embedding_gradient(gradient, self._batch, self.step)

    def fit(self) -> None:
        """Train until the epochs are over or no epoch is better any more; leave the best epoch's weights in the model.

        Raises:
            TrainingError: before the update, if a loss or gradient is not finite.
            SystemExit: 143, after a checkpoint, if a stop was requested.
        """
        try:
            self._run_phases()
        except BaseException:
            with contextlib.suppress(Exception):  # The first error is the one to tell; nothing is written once it is out.
                self.background.wait()
            raise
        self.background.wait()
        self.restore_best()

    def _run_phases(self) -> None:
        while not self.finished:
            phase = self.phases[self.phase]
            if not self.begun:
                self.background.wait()
                if self.phase:
                    self.phases[self.phase - 1].end()
                phase.begin()
                self.begun = True
            self.model.train()
            for batch in phase.batches(self.epoch, self.row):
                phase.step(batch)
                every, stops = self.config.checkpoints.every_steps, self._stops()  # Asked once: who comes later has no checkpoint yet.
                if stops or (every is not None and self.step % every == 0):
                    self.save()
                if stops:
                    self._leave()
            self._end_epoch()
            if self._stops():
                self._leave()

    def request_stop(self) -> None:
        """Stop after the step at hand, with a checkpoint; asked a second time, stop at once."""
        if self.stop_requested:
            os._exit(143)
        self.stop_requested = True

    def _leave(self) -> NoReturn:
        self.background.wait()
        raise SystemExit(143)

    def _stops(self) -> bool:
        # A rank alone must not leave: the others would wait for it. Those of one process need not ask.
        return self.stop_agreed or (self.stop_requested and ranks.world_size() == 1)

    def _step(self, batch: Batch) -> None:
        self._batch = batch
        step = self.step - self.detour
        factor = schedule_factor(self.config.schedule, step, self.num_epochs * len(self.reader))
        self.dense.set_factor(factor)
        self.model.embeddings.set_lr(self.config.optimizers.embeddings.lr * factor)
        known_T = self.known_weight(batch)
        loss: StepLoss = self.objective(batch, known_T, step)
        guards.check_total(loss.total, loss.weights, self.tasks, batch, self.step)
        self.objective.backward(loss)
        self.dense.add_up_ranks()
        guards.check_dense_gradients(self.dense.parameters, batch, self.step)
        self.dense.step()
        self.objective.after_step(batch, known_T)
        for module in self.after_step:
            module.after_step()
        if self.average is not None:
            self.average.update(step)
        self.count(batch)
        self.loss_sum_T += loss.mean_T.double()
        self.loss_count_T += loss.losses.present
        if (step + 1) % LOG_EVERY == 0:
            self._log_losses()
            self.log_values(self.objective.figures(loss))

    def count(self, batch: Batch) -> None:
        """A step is done."""
        self.step += 1
        self.row += self.reader.batch_size
        self.on_step(len(batch.weight))

    def known_weight(self, batch: Batch) -> Tensor:
        """The weight of the rows that each task learns from in the whole batch, [T]; all ranks learn here that one of them was asked to stop."""
        asked = torch.tensor([float(self.stop_requested)])
        told = ranks.all_sum(torch.cat([self.objective.known_weight(batch), asked]))
        self.stop_agreed = bool(told[-1] > 0)
        return told[:-1]

    def _end_epoch(self) -> None:
        is_over = self.phases[self.phase].end_epoch()
        self.epoch, self.row = self.epoch + 1, 0
        if is_over:
            self.phase, self.begun = self.phase + 1, False
            self.finished = self.phase == len(self.phases)
        self.save()

    def judge_epoch(self) -> None:
        """Judge the model as it stands on valid, and see whether it is the best so far."""
        self._log_losses()
        with self.averaged():
            metrics = self.judge()
        self.log_values({f"valid/{name}": value for name, value in metrics.items()})
        if self.best.is_better(metrics):
            self.best_step = self.step

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """The block in which the model has the weights that are judged: the averaged ones, if there are any."""
        return self.average.applied() if self.average is not None else contextlib.nullcontext()

    def save(self) -> None:
        """Write a checkpoint of this very moment while training goes on; several ranks, who must write together, wait for it."""
        snapshot, path = self.snapshot().copied(), checkpoint.step_path(self.checkpoints, self.step)
        kept = {checkpoint.step_path(self.checkpoints, step) for step in (self.best_step, self.kept_step) if step is not None}

        def write() -> None:
            checkpoint.save(path, snapshot)
            if ranks.is_first():
                checkpoint.prune(self.checkpoints, self.config.checkpoints.keep, kept)

        self.background.start(write)
        if ranks.world_size() > 1:
            self.background.wait()

    def snapshot(self) -> checkpoint.Snapshot:
        """Everything needed to go on bit for bit."""
        tensors = {
            "dense": self.model.ranker.state_dict(),
            "average": self.average.average if self.average is not None else {},
            "optimizer": self.dense.state(),
            "tables": self.model.embeddings.tables(),
            "tables_optimizer": self.model.embeddings.optimizer_state(),
            "training": {
                **{f"objective/{name}": value for name, value in self.objective.state_dict().items()},
                f"random/{ranks.rank()}": torch.get_rng_state(),
                "loss_sum": self.loss_sum_T,
                "loss_count": self.loss_count_T,
            },
        }
        of_phases = {f"{index}/{name}": value for index, phase in enumerate(self.phases) for name, value in phase.tensors().items()}
        tensors |= {"phases": of_phases} if of_phases else {}
        return checkpoint.Snapshot(tensors, {**{key: getattr(self, key) for key in _COUNTERS}, "best": self.best.state()}, self.meta)

    def resume(self, snapshot: checkpoint.Snapshot) -> None:
        """Take over a snapshot: weights, optimizers, averages, the place in the log, and the random state.

        Raises:
            BundleError: if it belongs to another run or model.
        """
        tensors, state, meta = snapshot
        refuse_another_run(meta, self.meta)
        self.restore(tensors)
        self.best.load(state["best"])
        for key in _COUNTERS:
            setattr(self, key, state[key])
        for index, phase in enumerate(self.phases):
            found = tensors.get("phases", {}).items()
            phase.load({name.partition("/")[2]: value for name, value in found if name.startswith(f"{index}/")})
        if self.begun:
            self.phases[self.phase].go_on()

    def restore(self, tensors: dict[str, dict[str, Tensor]]) -> None:
        """The part of `resume` that concerns the model: its weights, optimizers, averages, objective, and the random state.

        Raises:
            BundleError: if they belong to another model.
        """
        copy_into(self.model.ranker.state_dict(), tensors["dense"], "dense")
        embeddings = self.model.embeddings
        copy_into(embeddings.tables(), here(tensors["tables"], embeddings.elsewhere()), "tables")
        copy_into(embeddings.optimizer_state(), here(tensors["tables_optimizer"], embeddings.elsewhere()), "tables_optimizer")
        copy_into(self.average.average if self.average is not None else {}, here(tensors["average"], embeddings.elsewhere(), "tables/"), "average")
        self.dense.load_state(tensors["optimizer"])
        training = dict(tensors["training"])
        states = {name: training.pop(name) for name in list(training) if name.startswith("random/")}
        if len(states) == ranks.world_size():  # Other ranks, other draws: dropout goes on anew.
            torch.set_rng_state(states[f"random/{ranks.rank()}"])
        self.loss_sum_T, self.loss_count_T = training.pop("loss_sum"), training.pop("loss_count")
        copy_into({f"objective/{name}": value for name, value in self.objective.state_dict().items()}, training, "training")

    @property
    def best_checkpoint(self) -> Path:
        """That of the best epoch; there is one once an epoch is over."""
        assert self.best_step is not None
        return checkpoint.step_path(self.checkpoints, self.best_step)

    def restore_best(self) -> None:
        """Put the judged weights of the best epoch into the model."""
        load_judged_weights(self.model, checkpoint.load(self.best_checkpoint))

    def _weights(self) -> dict[str, Tensor]:
        live: dict[str, Tensor] = {f"dense/{name}": parameter for name, parameter in self.model.ranker.named_parameters()}
        if self.config.ema is not None and self.config.ema.tables:
            live |= {f"tables/{name}": table for name, table in self.model.embeddings.tables().items()}
        return live

    def _statistics(self) -> dict[str, Tensor]:
        """Of batch normalisation, and the balance of gates."""
        kept, weights = self.model.ranker.state_dict(), dict(self.model.ranker.named_parameters())
        return {f"dense/{name}": value for name, value in kept.items() if name not in weights and value.is_floating_point()}

    def _log_losses(self) -> None:
        seen = self.loss_count_T > 0
        means = (self.loss_sum_T / self.loss_count_T.clamp(min=1)).tolist()
        self.log_values({f"train/loss/{name}": value for name, value, known in zip(self.tasks, means, seen.tolist(), strict=True) if known})
        self.loss_sum_T.zero_()
        self.loss_count_T.zero_()

    def log_values(self, values: dict[str, float]) -> None:
        """Log figures of this step, named as those of the phase at hand."""
        prefix = self.phases[self.phase].prefix
        self.log({f"{prefix}{name}": value for name, value in values.items()}, self.step, self.epoch)
        self.num_lines += len(values)
