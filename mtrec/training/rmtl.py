"""A run that is weighted by critics: pretraining, critics, the two controls, and the training that gives the run its model.

Each training after the critics goes on from the best epoch of pretraining, with the same optimizer state, random state and batches: they differ in
their weights alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mtrec.config import Config, resolve_part
from mtrec.data.bundle import Prepared
from mtrec.objective.critic import Critics
from mtrec.objective.weightings.rmtl import Control
from mtrec.ranks import share
from mtrec.training import checkpoint
from mtrec.training.critic_phase import CriticPhase
from mtrec.training.frozen import FrozenModel
from mtrec.training.phases import Fit, Phase
from mtrec.types import Batch

if TYPE_CHECKING:
    from mtrec.training.trainer import Trainer

__all__ = ["CONTROLS", "rmtl_phases"]

CONTROLS: tuple[Control, ...] = ("const_mean", "shuffle")
ACTION_WIDTH = 16


class FineTune(Fit):
    """Go on from the best epoch of pretraining with weights by the critics; the best epoch is chosen among that one and those that follow.

    Args:
        control: of the weights.
        epochs: how many follow at most.
        report: called at the end, with the weights of the best epoch in the model; None for the model of the run itself.
    """

    def __init__(
        self, trainer: Trainer, critics: Critics, frozen: FrozenModel, control: Control, epochs: int, report: Callable[[str], None] | None
    ) -> None:
        super().__init__(trainer, last_epoch=epochs)
        self.critics, self.frozen, self.control, self.epochs, self.report = critics, frozen, control, epochs, report
        self.prefix = "" if report is None else f"{control}/"

    def begin(self) -> None:
        trainer, pretrained = self.trainer, self._pretrained()
        trainer.restore(pretrained.tensors)
        trainer.best.load({**pretrained.state["best"], "epochs_without": 0})
        trainer.best_step, trainer.epoch, trainer.row = trainer.kept_step, pretrained.state["epoch"], 0
        trainer.detour = trainer.step - pretrained.state["step"]
        self._use(pretrained)

    def go_on(self) -> None:
        self._use(self._pretrained())

    def end(self) -> None:
        if self.report is not None:
            self.trainer.restore_best()
            self.report(self.control)

    def _pretrained(self) -> checkpoint.Snapshot:
        assert self.trainer.kept_step is not None
        return checkpoint.load(checkpoint.step_path(self.trainer.checkpoints, self.trainer.kept_step))

    def _use(self, pretrained: checkpoint.Snapshot) -> None:
        self.frozen.load(pretrained)
        self.last_epoch = pretrained.state["epoch"] + self.epochs
        weighting: Any = self.trainer.objective.weighting
        weighting.control = self.control
        self.trainer.objective.critic_values = self._values

    @torch.no_grad()
    def _values(self, batch: Batch, predictions_BT: Tensor) -> Tensor:
        """What the critics say of rows and what the model, as it is now, predicts of them. [B, T]"""
        values_BT: Tensor = self.critics(self.frozen.state(batch), predictions_BT)
        return values_BT


def rmtl_phases(trainer: Trainer, config: Config, prepared: Prepared, report: Callable[[str], None]) -> list[Phase]:
    """The phases of a run whose weighting reads `critic_values`.

    Args:
        report: called with the name of a control, when its training is over and its best weights are in the model.
    """
    _, options = resolve_part(config.objective.weighting)
    epochs, frozen = config.training.epochs, FrozenModel(config, prepared)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # The same on all ranks.
        critics = Critics(trainer.model.outputs.is_binary, frozen.width, ACTION_WIDTH, options.critic_hidden)
    followers = prepared.followers(config.training.batch_size, config.seed, **share())
    trainer.num_epochs = options.pretrain_epochs + epochs
    controls = CONTROLS if options.controls and options.control == "none" else ()
    return [
        Fit(trainer, options.pretrain_epochs),
        CriticPhase(trainer, critics, frozen, followers, options),
        *(FineTune(trainer, critics, frozen, control, epochs, report) for control in controls),
        FineTune(trainer, critics, frozen, options.control, epochs, None),
    ]
