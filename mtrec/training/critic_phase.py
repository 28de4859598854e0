"""The stretch of a run in which the critics learn from sessions, while the model stays as it is.

Shapes: B rows, T tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mtrec import ranks
from mtrec.data.reader import FILLER, Reader
from mtrec.errors import TrainingError
from mtrec.objective.critic import Critics, Transitions, reward
from mtrec.objective.weightings.rmtl import Config
from mtrec.sections import DenseOptimizer
from mtrec.training import checkpoint, guards
from mtrec.training.frozen import FrozenModel
from mtrec.training.optimizers import DenseStep
from mtrec.training.phases import Phase
from mtrec.training.restore import copy_into
from mtrec.types import Batch

if TYPE_CHECKING:
    from mtrec.training.trainer import Trainer

__all__ = ["CriticPhase"]

TOLERANCE, CALM_EPOCHS = 3e-3, 2  # It ends when the loss changes by less than this share of itself, so many times in a row.
TARGET_RATE, TARGET_EVERY = 0.2, 2


class CriticPhase(Phase):
    """Temporal differences over (row, next row of its session): state and action of both from the pretrained model, as it was judged best.

    The loss of a task is the weighted mean of the squared differences over the rows that know its label. A next row whose label is unknown
    counts with what its critic says of it, which no row has taught it. Critics see the states that `FrozenModel` gives.

    Args:
        followers: for each batch of the trainer's reader, the rows that come next.
    """

    prefix = "critic/"

    def __init__(self, trainer: Trainer, critics: Critics, frozen: FrozenModel, followers: Reader, config: Config) -> None:
        super().__init__(trainer)
        self.critics, self.frozen, self.followers, self.config = critics, frozen, followers, config
        self.dense = DenseStep(critics, DenseOptimizer(kind="adam", lr=config.critic_lr))
        self.is_binary_T = trainer.model.outputs.is_binary_T
        num_tasks = len(self.is_binary_T)
        # Loss and batches of the epoch at hand, by task; the mean loss of the epoch before, below 0 before there is one; calm epochs; steps.
        sizes = {"loss": num_tasks, "count": num_tasks, "before": 1, "calm": 1, "steps": 1}
        self.seen = {name: torch.zeros(size, dtype=torch.float64) for name, size in sizes.items()}
        self.seen["before"] -= 1

    def begin(self) -> None:
        trainer = self.trainer
        trainer.kept_step, trainer.epoch, trainer.row = trainer.best_step, 0, 0
        self.go_on()

    def go_on(self) -> None:
        assert self.trainer.kept_step is not None
        self.frozen.load(checkpoint.load(checkpoint.step_path(self.trainer.checkpoints, self.trainer.kept_step)))

    def batches(self, epoch: int, row: int) -> Iterator[tuple[Batch, Batch]]:
        return zip(self.trainer.reader.epoch(epoch, row), self.followers.epoch(epoch, row), strict=True)

    def step(self, batch: tuple[Batch, Batch]) -> None:
        rows, following = batch
        known_T = self.trainer.known_weight(rows)
        mask_BT = rows.label_mask & self.is_binary_T
        share_BT = rows.weight.unsqueeze(1) * mask_BT / known_T.clamp(min=torch.finfo().tiny)
        loss_T = (share_BT * self.critics.errors(self._transitions(rows, following, mask_BT), self.config.gamma)).sum(0)
        total_T = ranks.all_sum(loss_T.detach().clone())
        if not bool(total_T.isfinite().all()):
            raise TrainingError("The loss of a critic is not finite", where=guards.place(rows, self.trainer.step), do="Lower critic_lr.")
        loss_T.sum().backward()
        self.dense.add_up_ranks()
        self.dense.step()
        self.seen["steps"] += 1
        if self.seen["steps"] % TARGET_EVERY == 0:
            self.critics.follow(TARGET_RATE)
        self.seen["loss"] += total_T
        self.seen["count"] += (known_T > 0) & self.is_binary_T
        self.trainer.count(rows)

    def end_epoch(self) -> bool:
        mean_T, known = self.seen["loss"] / self.seen["count"].clamp(min=1), self.seen["count"] > 0
        names = [(name, loss) for name, loss, one in zip(self.trainer.tasks, mean_T.tolist(), known.tolist(), strict=True) if one]
        self.trainer.log_values({f"loss/{name}": loss for name, loss in names})
        mean, before = mean_T.sum(), self.seen["before"]
        is_calm = (mean - before).abs() <= TOLERANCE * before
        self.seen["calm"].copy_(torch.where(is_calm, self.seen["calm"] + 1, 0.0))
        before.copy_(mean)
        self.seen["loss"].zero_()
        self.seen["count"].zero_()
        return bool(self.seen["calm"] >= CALM_EPOCHS) or self.trainer.epoch + 1 >= self.config.critic_epochs

    def tensors(self) -> dict[str, Tensor]:
        return {**self._weights(), **{f"optimizer/{name}": value for name, value in self.dense.state().items()}}

    def load(self, tensors: dict[str, Tensor]) -> None:
        optimizer = {name.removeprefix("optimizer/"): value for name, value in tensors.items() if name.startswith("optimizer/")}
        copy_into(self._weights(), {name: value for name, value in tensors.items() if not name.startswith("optimizer/")}, "critics")
        self.dense.load_state(optimizer)

    def _weights(self) -> dict[str, Tensor]:
        return {
            **{f"critics/{name}": value for name, value in self.critics.state_dict().items()},
            **{f"seen/{name}": value for name, value in self.seen.items()},
        }

    def _transitions(self, rows: Batch, following: Batch, mask_BT: Tensor) -> Transitions:
        state, action = self.frozen.look(rows)
        next_state, next_action = self.frozen.look(following)
        gained = reward(rows.labels, action, mask_BT, self.config.reward_clip)
        return Transitions(state, action, gained, next_state, next_action, following.row == FILLER)
