"""The scores of a split: the model over all rows in order."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mtrec.data.reader import Reader
from mtrec.training.assemble import RankingModel

__all__ = ["Scores", "score"]


class Scores(NamedTuple):
    """Attributes: predictions [rows, T] in label units, each task by itself (given its condition); labels, mask [rows, T]; weight, row [rows]."""

    predictions: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    weight: npt.NDArray[np.float32]
    row: npt.NDArray[np.int64]


@torch.no_grad()
def score(model: RankingModel, reader: Reader) -> Scores:
    """Score the rows of a reader; the model's mode is restored afterwards."""
    was_training = model.training
    model.eval()
    parts: list[tuple[Tensor, ...]] = []
    for batch in reader.in_order():
        predictions = model.outputs.conditional(model(batch))
        parts.append((predictions, batch.labels, batch.label_mask, batch.weight, batch.row))
    model.train(was_training)
    if not parts:
        num_tasks = len(model.outputs.is_binary)
        none = np.zeros((0, num_tasks), dtype=np.float32)
        return Scores(none, none, none.astype(np.bool_), none[:, 0], none[:, 0].astype(np.int64))
    return Scores(*(torch.cat(column).numpy() for column in zip(*parts, strict=True)))
