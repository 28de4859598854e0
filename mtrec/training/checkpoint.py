"""Checkpoints: everything that a run needs to go on bit for bit, in safetensors and JSON."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mtrec.errors import BundleError
from mtrec.store import MANIFEST, Bundle

__all__ = ["KIND", "Snapshot", "latest", "load", "prune", "save", "step_path"]

KIND = "checkpoint"
_NAME = re.compile(r"step-(\d{9})")


class Snapshot(NamedTuple):
    """What is kept.

    Attributes:
        tensors: by group (dense, average, optimizer, tables, tables_optimizer, training), each by name.
        state: what JSON can hold: step, epoch, row, best epoch and such.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]


def step_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}"


def save(path: Path, snapshot: Snapshot, meta: dict[str, Any]) -> None:
    """Write a checkpoint; one of the same step is replaced.

    Raises:
        BundleError: if a weight is not finite, or the disk refuses; earlier checkpoints stay as they are.
    """
    for group, tensors in snapshot.tensors.items():
        _refuse_non_finite(group, tensors, path)
    with Bundle.create(path, KIND, meta, replace=True) as bundle:
        for group, tensors in snapshot.tensors.items():
            save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, bundle.path / f"{group}.safetensors")
        (bundle.path / "state.json").write_text(json.dumps(snapshot.state, indent=1, allow_nan=False), encoding="utf-8")


def load(path: Path) -> Snapshot:
    """Read a checkpoint whose hashes have been checked.

    Raises:
        BundleError: if it is damaged, or holds a weight that is not finite.
    """
    bundle = Bundle.open(path, KIND)
    tensors = {Path(name).stem: load_file(bundle.path / name) for name in bundle.files if name.endswith(".safetensors")}
    for group, found in tensors.items():
        _refuse_non_finite(group, found, path)
    return Snapshot(tensors, json.loads((bundle.path / "state.json").read_text(encoding="utf-8")))


def latest(folder: Path) -> Path | None:
    """The last complete checkpoint; directories without a manifest were never committed and are passed over.

    Raises:
        BundleError: if the last complete one is damaged, naming the newest that is whole.
    """
    complete = sorted((p for p in folder.glob("step-*") if _NAME.fullmatch(p.name) and Bundle.is_complete(p)), reverse=True)
    for place, path in enumerate(complete):
        try:
            Bundle.open(path, KIND)
        except BundleError as error:
            if place == 0:
                damaged = error
            continue
        if place == 0:
            return path
        raise BundleError(str(damaged), do=f"The newest whole checkpoint is {path}: remove the damaged one to go on from there.")
    if complete:
        raise BundleError(str(damaged), do="No whole checkpoint is left: remove them to begin again.")
    return None


def prune(folder: Path, keep: int, best: Path | None) -> None:
    """Remove all but the last `keep` checkpoints and the best."""
    complete = sorted(p for p in folder.glob("step-*") if _NAME.fullmatch(p.name))
    for path in complete[: max(0, len(complete) - keep)]:
        if path != best:
            # Without its manifest a directory is no checkpoint: a kill half-way leaves nothing that looks like one.
            (path / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)


def _refuse_non_finite(group: str, tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise BundleError("A checkpoint holds values that are not finite", where=path, found=f"{group}: {name}", do="Go on from an earlier one.")
