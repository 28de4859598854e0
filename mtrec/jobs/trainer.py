"""The trainer of a run: its objects, and the phases that its weighting asks for."""

from collections.abc import Callable
from functools import partial

from mtrec import ranks
from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.jobs.controls import keep_control
from mtrec.jobs.load import path_from
from mtrec.training import checkpoint
from mtrec.training.assemble import RankingModel
from mtrec.training.objective import build_objective
from mtrec.training.rmtl import rmtl_phases
from mtrec.training.run import RunDirectory, identity
from mtrec.training.trainer import Trainer

__all__ = ["build_trainer"]


def build_trainer(
    config: Config,
    run: RunDirectory,
    prepared: Prepared,
    model: RankingModel,
    judge: Callable[[], dict[str, float]],
    log: Callable[[dict[str, float], int, int], None],
    on_step: Callable[[int], None],
) -> Trainer:
    """Built, and before its first step; arguments as `Trainer` has them."""
    meta = {"config": identity(config), "digest": prepared.digest, "prepared": path_from(run, prepared), **checkpoint.versions()}
    objective, reader = build_objective(config, model, prepared), prepared.reader("train", config.training.batch_size, config.seed, **ranks.share())
    trainer = Trainer(model, objective, reader, list(config.tasks), config.training, judge, log, run.checkpoints, meta, on_step)
    if config.needs_sessions:
        trainer.phases = rmtl_phases(trainer, config, prepared, partial(keep_control, run, config, prepared, model))
    return trainer
