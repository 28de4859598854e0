"""Checkpoints: everything that a run needs to go on bit for bit, in safetensors and JSON."""

import contextlib
import json
import logging
import re
import shutil
from collections.abc import Collection, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mtrec import ranks
from mtrec.errors import BundleError
from mtrec.store import MANIFEST, Bundle, digest_of

__all__ = ["KIND", "Snapshot", "digest", "latest", "load", "prune", "rewind", "save", "state", "step_path", "versions"]

KIND = "checkpoint"
SEEN = ("losses_after_T", "valid_losses_T", "norm_T", "cosine_TT")
_NAME = re.compile(r"step-(\d{9,})")


class Snapshot(NamedTuple):
    """What is kept.

    Attributes:
        tensors: by group (dense, average, optimizer, tables, tables_optimizer, training, phases), each by name.
        state: what JSON can hold: step, epoch, row, best epoch and such.
        meta: what the checkpoint belongs to: the configuration, the digest of the log, versions.
    """

    tensors: dict[str, dict[str, Tensor]]
    state: dict[str, Any]
    meta: dict[str, Any]

    def copied(self) -> "Snapshot":
        """The same with tensors of its own: training may go on while it is written."""
        own = {group: {name: tensor.detach().contiguous().clone() for name, tensor in found.items()} for group, found in self.tensors.items()}
        return self._replace(tensors=own)


def step_path(folder: Path, step: int) -> Path:
    return folder / f"step-{step:09d}"


def versions() -> dict[str, Any]:
    """What else decides the last bits of a run: kept in each checkpoint, for those who compare."""
    return {"mtrec": version("mtrec-moe"), "torch": torch.__version__, "threads": torch.get_num_threads()}


def save(path: Path, snapshot: Snapshot) -> None:
    """Write a checkpoint; one of the same step is replaced.

    Raises:
        BundleError: if a weight is not finite, or the disk refuses; earlier checkpoints stay as they are.
    """
    for group, tensors in snapshot.tensors.items():
        _refuse_non_finite(group, tensors, path)
    if ranks.is_first():
        with Bundle.create(path, KIND, snapshot.meta, replace=True) as bundle:
            ranks.share_text(str(bundle.path))
            _write(bundle.path, snapshot.tensors)
            (bundle.path / "state.json").write_text(json.dumps(snapshot.state, indent=1, allow_nan=False), encoding="utf-8")
            ranks.wait()
    else:
        _write(Path(ranks.share_text("")), {group: _own(group, tensors) for group, tensors in snapshot.tensors.items()})
        ranks.wait()
    ranks.wait()


def _write(folder: Path, groups: dict[str, dict[str, Tensor]]) -> None:
    """One file a group and rank; what each holds is read from its names."""
    for group, tensors in groups.items():
        try:
            file = folder / f"{group}-{ranks.rank():05d}.safetensors"
            save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, file)
        except SafetensorError as error:  # What the disk said, in its words.
            raise OSError(str(error)) from error


def _own(group: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a rank that is not the first adds: its tables and its random state; the rest is the same on all ranks."""
    if group in ("tables", "tables_optimizer"):
        return tensors
    return {name: tensor for name, tensor in tensors.items() if name.startswith(("tables/", "random/"))}


def load(path: Path) -> Snapshot:
    """Read a checkpoint whose hashes have been checked.

    Raises:
        BundleError: if it is damaged, or holds a weight that is not finite.
    """
    bundle = Bundle.open(path, KIND)
    tensors: dict[str, dict[str, Tensor]] = {}
    with _reading(path):
        for name in sorted(name for name in bundle.files if name.endswith(".safetensors")):
            tensors.setdefault(name.rpartition("-")[0], {}).update(load_file(bundle.path / name))
    for group, found in tensors.items():
        _refuse_non_finite(group, found, path)
    return Snapshot(tensors, state(path), bundle.meta)


def state(path: Path) -> dict[str, Any]:
    """The state of a checkpoint whose hashes have been checked already, without its tensors.

    Raises:
        BundleError: if it cannot be read.
    """
    with _reading(path):
        found: dict[str, Any] = json.loads((path / "state.json").read_text(encoding="utf-8"))
    return found


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError("The checkpoint cannot be read", where=path, found=error, do="Go on from another one with `--from`.") from error


def digest(path: Path) -> str:
    """What names a checkpoint by its content: the SHA-256 of its manifest, which holds those of all its files, its configuration and its log."""
    return digest_of(path / MANIFEST)


def latest(folder: Path) -> Path | None:
    """The last complete checkpoint; directories without a manifest were never committed and are passed over with a line.

    Raises:
        BundleError: if the last complete one is damaged, naming the newest that is whole.
    """
    for path in _steps(folder):
        if not Bundle.is_complete(path):
            logging.getLogger("mtrec").warning("%s has no manifest, so it was never finished: it is passed over.", path)
    complete = [path for path in reversed(_steps(folder)) if Bundle.is_complete(path)]
    if not complete:
        return None
    try:
        return Bundle.open(complete[0], KIND).path
    except BundleError as error:
        whole = next((path for path in complete[1:] if _is_whole(path)), None)
        do = f"The newest whole checkpoint is {whole}: `mtrec train` goes on there with `--from {whole}`." if whole else "No whole one is left."
        raise BundleError(f"The last checkpoint cannot be used: {str(error).removesuffix('.')}", do=do) from error


def rewind(folder: Path, path: Path) -> Path:
    """Go back to a checkpoint of the folder: those after it are removed.

    Raises:
        BundleError: if it is no checkpoint of this folder, or damaged; then nothing is removed.
    """
    chosen = folder / path.name
    if path.resolve() != chosen.resolve() or not _NAME.fullmatch(path.name):
        found = ", ".join(str(one) for one in _steps(folder))
        raise BundleError("This is no checkpoint of the run", where=path, expected=f"one of {found or 'none'}")
    Bundle.open(chosen, KIND)
    for later in _steps(folder):
        if _step(later) > _step(chosen):
            _remove(later)
    return chosen


def prune(folder: Path, keep: int, also: Collection[Path] = ()) -> None:
    """Remove all but the last `keep` complete checkpoints, and those of `also`."""
    complete = [path for path in _steps(folder) if Bundle.is_complete(path)]
    kept = {*complete[-keep:], *also}
    for path in _steps(folder):
        if path not in kept:
            _remove(path)


def _steps(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)), key=_step)


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _is_whole(path: Path) -> bool:
    try:
        Bundle.open(path, KIND)
    except BundleError:
        return False
    return True


def _remove(path: Path) -> None:
    # Without its manifest a directory is no checkpoint: a kill half-way leaves nothing that looks like one.
    (path / MANIFEST).unlink(missing_ok=True)
    shutil.rmtree(path, ignore_errors=True)


def _refuse_non_finite(group: str, tensors: dict[str, Tensor], path: Path) -> None:
    for name, tensor in tensors.items():
        # What was seen of the tasks in the last step is NaN where a task was absent.
        seen = tensor[~tensor.isnan()] if group == "training" and name.endswith(SEEN) else tensor
        if tensor.is_floating_point() and not bool(torch.isfinite(seen).all()):
            raise BundleError("A checkpoint holds values that are not finite", where=path, found=f"{group}: {name}", do="Go on from an earlier one.")
