"""What evaluate, predict and export begin with: a run's best weights, its features, and its prepared log."""

import os
from typing import NamedTuple

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.errors import BundleError
from mtrec.features.feature_set import FeatureSet
from mtrec.jobs.prepare import load_features
from mtrec.store import Bundle
from mtrec.training import checkpoint
from mtrec.training.assemble import RankingModel, build_model
from mtrec.training.run import RunDirectory
from mtrec.training.trainer import load_judged_weights

__all__ = ["Loaded", "load_run", "path_from"]


class Loaded(NamedTuple):
    """A run, ready to score."""

    run: RunDirectory
    config: Config
    prepared: Prepared
    features: FeatureSet
    model: RankingModel


def path_from(run: RunDirectory, prepared: Prepared) -> str:
    """Where the prepared log lies, seen from the run: both can be moved together."""
    return os.path.relpath(prepared.path, run.path)


def load_run(path: str | os.PathLike[str]) -> Loaded:
    """Open a run with the weights of its best epoch, averaged if it averages.

    Raises:
        BundleError: if no run lies there, no epoch is done yet, or something is damaged.
    """
    run = RunDirectory.existing(os.fspath(path))
    config = run.config()
    last = checkpoint.latest(run.checkpoints)
    best = None if last is None else checkpoint.load(last).state["best_step"]
    if last is None or best is None:
        raise BundleError("The run has no finished epoch yet", where=path, do="Let `mtrec train` go on.")
    prepared = Prepared(run.path / Bundle.open(last, checkpoint.KIND).meta["prepared"])
    model = build_model(config, prepared)
    load_judged_weights(model, checkpoint.load(checkpoint.step_path(run.checkpoints, best)))
    model.eval()
    return Loaded(run, config, prepared, load_features(config, prepared), model)
