"""How a run begins, or goes on: its directory, its last checkpoint, and what it may begin with."""

from pathlib import Path
from typing import NamedTuple

from mtrec import ranks
from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.errors import BundleError
from mtrec.training import checkpoint
from mtrec.training.run import RunDirectory

__all__ = ["Beginning", "best_checkpoint", "opened"]


class Beginning(NamedTuple):
    """What a run begins with in place of its own log and of new weights.

    Attributes:
        prepared: the rows that it trains on and is judged by.
        weights: a checkpoint of another run of the same model, from which it takes weights, optimizer state, averages and random state.
    """

    prepared: Prepared
    weights: Path


def opened(config: Config, start_from: Path | None) -> tuple[RunDirectory, checkpoint.Snapshot | None]:
    """The directory of a run, begun, and the checkpoint that it goes on from: `start_from`, if it is to go back there, or its last one."""
    run = RunDirectory(config.run_path)
    ranks.first_then_all(lambda: run.begin(config))
    last = ranks.first_then_all(lambda: checkpoint.rewind(run.checkpoints, start_from) if start_from else checkpoint.latest(run.checkpoints))
    return run, checkpoint.load(last) if last is not None else None


def best_checkpoint(run: RunDirectory) -> Path:
    """The checkpoint of the best epoch of a run.

    Raises:
        BundleError: if no epoch is done yet, or the last checkpoint is damaged.
    """
    last = checkpoint.latest(run.checkpoints)
    best: int | None = checkpoint.state(last)["best_step"] if last is not None else None
    if best is None:
        raise BundleError("The run has no finished epoch yet", where=run.path, do="Let `mtrec train` go on.")
    return checkpoint.step_path(run.checkpoints, best)
