"""From a checkpoint back into live objects, refused where it belongs to another model."""

from typing import Any

import torch
from torch import Tensor

from mtrec.errors import BundleError
from mtrec.training.assemble import RankingModel
from mtrec.training.checkpoint import Snapshot
from mtrec.training.run import differences

__all__ = ["copy_into", "here", "load_judged_weights", "refuse_another_run"]


def copy_into(live: dict[str, Tensor], saved: dict[str, Tensor], what: str) -> None:
    """Copy saved tensors into the live ones of the same names and shapes.

    Raises:
        BundleError: listing what differs; then nothing is copied.
    """
    names = [name for name in sorted(live.keys() | saved.keys()) if _form(saved.get(name)) != _form(live.get(name))]
    if names:
        listed = "; ".join(f"{name} is saved as {_form(saved.get(name))}, the model has {_form(live.get(name))}" for name in names[:8])
        more = f"; and {len(names) - 8} more" if len(names) > 8 else ""
        do = "Use the configuration and the version that it was trained with, or train anew."
        raise BundleError(f"The checkpoint belongs to another model: {listed}{more}", where=what, do=do)
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(saved[name])


def here(saved: dict[str, Tensor], elsewhere: set[str], prefix: str = "") -> dict[str, Tensor]:
    """What this rank takes: all but the state of the tables that other ranks hold. State is named `<prefix><table>` or `<prefix><table>.<state>`."""
    return {name: value for name, value in saved.items() if not any(_of_table(name, f"{prefix}{table}") for table in elsewhere)}


def _of_table(name: str, table: str) -> bool:
    return name == table or name.rpartition(".")[0] == table


def load_judged_weights(model: RankingModel, snapshot: Snapshot) -> None:
    """Put the weights that were judged, averages where they were kept, into a model."""
    dense, tables = dict(snapshot.tensors["dense"]), dict(snapshot.tensors["tables"])
    for name, value in snapshot.tensors["average"].items():
        group, _, key = name.partition("/")
        (dense if group == "dense" else tables)[key] = value
    copy_into(model.ranker.state_dict(), dense, "dense")
    copy_into(model.embeddings.tables(), here(tables, model.embeddings.elsewhere()), "tables")


def refuse_another_run(saved: dict[str, Any], meta: dict[str, Any]) -> None:
    """See that a checkpoint was trained with this configuration on this log.

    Raises:
        BundleError: listing what differs.
    """
    found = differences(saved.get("config"), meta.get("config"))
    if saved.get("mtrec") != meta.get("mtrec"):
        found.append(f"mtrec {saved.get('mtrec')} wrote it, this is {meta.get('mtrec')}")
    if saved.get("digest") != meta.get("digest"):
        found.append("the files of the log have changed")
    if found:
        do = "Set it back, or give the run another name."
        raise BundleError(f"The checkpoint belongs to another run: {'; '.join(found)}", do=do)


def _form(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
