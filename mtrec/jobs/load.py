"""What evaluate, predict and export begin with: a run's best weights, its features, and its prepared log."""

import os
from typing import Any, NamedTuple

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.features.feature_set import FeatureSet
from mtrec.jobs.begin import best_checkpoint
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


def load_run(path: str | os.PathLike[str], prepared: Prepared | None = None) -> Loaded:
    """Open a run with the weights of its best epoch, averaged if it averages, calibrated if its configuration says so.

    Args:
        prepared: the rows that it is judged by, where they are at hand; else those that it was trained on.

    Raises:
        BundleError: if no run lies there, no epoch is done yet, or something is damaged.
    """
    run = RunDirectory.existing(os.fspath(path))
    config = run.config()
    best = best_checkpoint(run)
    snapshot = checkpoint.load(best)
    if prepared is None:
        prepared = prepared_to_judge(config, os.path.normpath(run.path.resolve() / snapshot.meta["prepared"]))
    model = build_model(config, prepared)
    load_judged_weights(model, snapshot)
    model.eval()
    return Loaded(run, config, prepared, load_features(config, prepared), model, calibrate(run, config, prepared, model, best))
