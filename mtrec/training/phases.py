"""The stretches of a run, one after the other: what each goes through, does at a step, and leaves behind.

An ordinary run is one `Fit`. The trainer keeps in its checkpoints which phase it is in, and whether that has begun.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from mtrec.training.trainer import Trainer

__all__ = ["Fit", "Phase"]


class Phase(ABC):
    """One stretch.

    Attributes:
        prefix: of the names of what it logs.
    """

    prefix = ""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer

    def begin(self) -> None:
        """Before its first step; all checkpoints so far are on the disk."""

    def go_on(self) -> None:
        """Once the trainer has taken over a snapshot from within this phase."""

    @abstractmethod
    def batches(self, epoch: int, row: int) -> Iterator[Any]:
        """What `step` takes, from a row of an epoch on."""

    @abstractmethod
    def step(self, batch: Any) -> None:
        """Learn from a batch, and count it."""

    @abstractmethod
    def end_epoch(self) -> bool:
        """Judge an epoch; whether it was the last one of this phase."""

    def end(self) -> None:
        """Before another phase begins."""

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps of it, by name, in whatever phase the trainer is."""
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take over what `tensors` gave."""


class Fit(Phase):
    """Train the model until an epoch is done, or no epoch is better any more.

    Args:
        last_epoch: how many epochs are done then, counted from the first of the run.
    """

    def __init__(self, trainer: Trainer, last_epoch: int) -> None:
        super().__init__(trainer)
        self.last_epoch = last_epoch

    def batches(self, epoch: int, row: int) -> Iterator[Any]:
        return self.trainer.reader.epoch(epoch, row)

    def step(self, batch: Any) -> None:
        self.trainer._step(batch)

    def end_epoch(self) -> bool:
        self.trainer.judge_epoch()
        return self.trainer.epoch + 1 >= self.last_epoch or self.trainer.best.exhausted
