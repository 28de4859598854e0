"""The scores of a split: the model over all rows in order."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from mtrec.data.reader import Reader
from mtrec.features.feature_set import Encoded, FeatureSet
from mtrec.training.assemble import RankingModel
from mtrec.types import Batch, Cursor

__all__ = ["Scores", "score", "score_table"]


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


@torch.no_grad()
def score_table(model: RankingModel, features: FeatureSet, table: pa.Table) -> Tensor:
    """The logits of raw rows, encoded here. [rows, T]"""
    was_training = model.training
    model.eval()
    logits: Tensor = model(_to_batch(features.encode(table, strict=False)))
    model.train(was_training)
    return logits


def _to_batch(encoded: Encoded) -> Batch:
    num_rows = len(encoded.numbers)
    nothing = torch.zeros(num_rows, 0)
    values = [values for values, _ in encoded.ids]
    lengths = [lengths for _, lengths in encoded.ids]
    return Batch(
        numbers=torch.from_numpy(encoded.numbers),
        ids=torch.from_numpy(np.concatenate(values) if values else np.zeros(0, dtype=np.int64)),
        id_lengths=torch.from_numpy(np.stack(lengths) if lengths else np.zeros((0, num_rows), dtype=np.int64)),
        labels=nothing,
        label_mask=nothing.bool(),
        weight=torch.ones(num_rows),
        row=torch.arange(num_rows),
        cursor=Cursor(0, 0),
    )
