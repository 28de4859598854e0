"""What may not become a step: losses, weights and gradients that are not finite, each named with its rows."""

import math

import torch
from torch import Tensor, nn

from mtrec.errors import TrainingError
from mtrec.types import Batch

__all__ = ["check_dense_gradients", "check_embedding_gradient", "check_losses", "check_total", "place"]

_NOTHING = "Nothing was updated. Lower the learning rates, or look at the labels and weights of these rows."
_TABLES = "The tables have taken this step, the dense weights have not: go on from the last checkpoint, with lower learning rates."


def place(batch: Batch, step: int) -> str:
    """Step, epoch and rows, as messages name them."""
    rows = f"log rows {int(batch.row.min())} to {int(batch.row.max())}" if batch.row.numel() else "no rows"
    return f"step {step}, epoch {batch.cursor.epoch}, batch at row {batch.cursor.row} of the epoch, {rows}"


def check_losses(mean_T: Tensor, tasks: list[str], batch: Batch, step: int) -> None:
    """Before the weighting sees them."""
    _refuse("loss", mean_T, tasks, batch, step)


def check_total(total: Tensor, weights_T: Tensor, tasks: list[str], batch: Batch, step: int) -> None:
    """Before the backward pass: the weighted sum of the tasks' losses."""
    if not bool(total.isfinite()):
        _refuse("weight", weights_T if weights_T.dim() == 1 else weights_T.sum(0), tasks, batch, step)
        raise TrainingError("The sum of the tasks' losses is not finite", where=place(batch, step), do=_NOTHING)


def check_embedding_gradient(gradient: Tensor, batch: Batch, step: int) -> None:
    """Before the tables learn from it: their optimizer runs inside the backward pass."""
    if not bool(gradient.isfinite().all()):
        raise TrainingError("The gradient of the embeddings is not finite", where=place(batch, step), do=_NOTHING)


def check_dense_gradients(parameters: dict[str, nn.Parameter], batch: Batch, step: int) -> None:
    """Before the dense optimizer learns from them."""
    known = {name: parameter.grad for name, parameter in parameters.items() if parameter.grad is not None}
    norms = torch._foreach_norm(list(known.values()))
    if known and not bool(torch.stack(norms).isfinite().all()):
        bad = [name for name, norm in zip(known, norms, strict=True) if not bool(norm.isfinite())]
        raise TrainingError(f"The gradient of {', '.join(bad[:5])} is not finite", where=place(batch, step), do=_TABLES)


def _refuse(what: str, values_T: Tensor, tasks: list[str], batch: Batch, step: int) -> None:
    bad = [name for name, value in zip(tasks, values_T.tolist(), strict=True) if not math.isfinite(value)]
    if bad:
        raise TrainingError(f"The {what} of {', '.join(bad)} is not finite", where=place(batch, step), do=_NOTHING)
