"""What evaluate, predict and export begin with: a run's best weights, its features, and its prepared log."""

import os
from typing import Any, NamedTuple

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.errors import BundleError
from mtrec.features.feature_set import FeatureSet
from mtrec.jobs.calibrate import calibrate
from mtrec.jobs.prepare import load_features
from mtrec.jobs.prepared import prepared_to_judge
from mtrec.training import checkpoint
from mtrec.training.assemble import RankingModel, build_model
from mtrec.training.restore import load_judged_weights
from mtrec.training.run import RunDirectory

__all__ = ["Loaded", "load_run", "path_from"]


class Loaded(NamedTuple):
    """A run, ready to score; `calibration` is what was fitted by task, or why nothing was."""

    run: RunDirectory
    config: Config
    prepared: Prepared
    features: FeatureSet
    model: RankingModel
    calibration: dict[str, dict[str, Any]]


def path_from(run: RunDirectory, prepared: Prepared) -> str:
    """Where the prepared log lies, seen from the run: both can be moved together."""
    return os.path.relpath(prepared.path.resolve(), run.path.resolve())


def load_run(path: str | os.PathLike[str]) -> Loaded:
    """Open a run with the weights of its best epoch, averaged if it averages, calibrated if its configuration says so.

    Raises:
        BundleError: if no run lies there, no epoch is done yet, or something is damaged.
    """
    run = RunDirectory.existing(os.fspath(path))
    config = run.config()
    last = checkpoint.latest(run.checkpoints)
    snapshot = checkpoint.load(last) if last is not None else None
    if snapshot is None or snapshot.state["best_step"] is None:
        raise BundleError("The run has no finished epoch yet", where=path, do="Let `mtrec train` go on.")
    best = checkpoint.step_path(run.checkpoints, snapshot.state["best_step"])
    if snapshot.state["best_step"] != snapshot.state["step"]:
        snapshot = checkpoint.load(best)
    prepared = prepared_to_judge(config, os.path.normpath(run.path.resolve() / snapshot.meta["prepared"]))
    model = build_model(config, prepared)
    load_judged_weights(model, snapshot)
    model.eval()
    return Loaded(run, config, prepared, load_features(config, prepared), model, calibrate(run, config, prepared, model, best))
