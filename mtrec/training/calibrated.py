"""The calibration of a run: what was fitted for each task, kept beside its checkpoints."""

import logging
from pathlib import Path
from typing import Any

import torch

from mtrec.config import Config
from mtrec.errors import BundleError
from mtrec.model.calibration import Isotonic, Platt
from mtrec.model.outputs import Outputs
from mtrec.store import MANIFEST, Bundle, digest_of
from mtrec.training.calibration import fit
from mtrec.training.scoring import Scores

__all__ = ["KIND", "apply", "fit_all", "kinds_of", "read", "write"]

KIND = "calibration"
_MAPS = {"platt": Platt, "isotonic": Isotonic}

Facts = dict[str, dict[str, Any]]  # by task: kind, rows, positives, and the map's own figures or the reason why there is none


def kinds_of(config: Config) -> dict[str, str]:
    """The kind of calibration of each task that has one."""
    return {name: task.calibration for name, task in config.tasks.items() if task.calibration is not None}


def fit_all(kinds: dict[str, str], config: Config, outputs: Outputs, valid: Scores) -> Facts:
    """Fit the maps of the tasks in `kinds` on scored rows; a task that cannot be calibrated is told of with a warning."""
    z = outputs.shifted(torch.from_numpy(valid.logits)).numpy()
    facts: Facts = {}
    for name, kind in kinds.items():
        task = list(config.tasks).index(name)
        known = valid.mask[:, task]
        labels = valid.labels[known, task]
        found = fit(kind, z[known, task], labels, valid.weight[known])
        facts[name] = {"kind": kind, "rows": len(labels), "positives": int((labels == 1).sum())}
        facts[name] |= {"reason": found} if isinstance(found, str) else found._asdict()
        if isinstance(found, str):
            logging.getLogger("mtrec").warning("The task %s is served without calibration: %s, on valid.", name, found)
    return facts


def apply(facts: Facts, config: Config, outputs: Outputs) -> None:
    """Put the maps into what serves the tasks."""
    maps: dict[int, Platt | Isotonic] = {}
    for task, name in enumerate(config.tasks):
        if name in facts and "reason" not in facts[name]:
            kind: Any = _MAPS[facts[name]["kind"]]
            maps[task] = kind(**{field: facts[name][field] for field in kind._fields})
    outputs.calibrate(maps)


def write(path: Path, facts: Facts, checkpoint: Path) -> None:
    """Keep what was fitted for the weights of a checkpoint."""
    with Bundle.create(path, KIND, {"tasks": facts, "checkpoint": digest_of(checkpoint / MANIFEST)}, replace=True):
        pass  # All of it is in the manifest.


def read(path: Path, kinds: dict[str, str], checkpoint: Path) -> Facts | None:
    """What is kept; None if nothing is, or it was fitted for other weights or as other kinds.

    Raises:
        BundleError: if it is damaged.
    """
    if not Bundle.is_complete(path):
        return None
    try:
        meta = Bundle.open(path, KIND).meta
    except BundleError as error:
        raise BundleError("The calibration cannot be used", where=path, found=error, do="Remove this folder, and it is fitted again.") from error
    facts: Facts = meta["tasks"]
    same = meta["checkpoint"] == digest_of(checkpoint / MANIFEST) and {name: fact["kind"] for name, fact in facts.items()} == kinds
    return facts if same else None
