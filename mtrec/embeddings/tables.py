"""Embedding tables: sharded by torchrec, updated inside the backward pass, pooled by the mean or looked up position by position.

Every process count runs the same code: DistributedModelParallel with an explicit plan that places each table whole on one rank, the fullest
tables first on the least loaded rank. An explicit plan needs no collective, and keeps torchrec's planner from choosing a placement whose
optimizer never runs.

Letters of shapes: B rows, N numbers, F id features, G features looked up, d embedding width, D flat width.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mtrec.embeddings.layout import Layout
from mtrec.embeddings.sharding import shard
from mtrec.errors import DataError
from mtrec.sections import EmbeddingOptimizer
from mtrec.types import Batch, FeatureBatch, IdField, SequenceField

__all__ = ["Embeddings", "initial_table"]


def initial_table(seed: int, name: str, num_rows: int, width: int) -> Tensor:
    """The starting rows of a table, uniform in +-0.1/sqrt(width), by seed and name only: the same for any number of processes. [num_rows, width]"""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    bound = 0.1 / width**0.5
    return torch.empty(num_rows, width).uniform_(-bound, bound, generator=generator)


class Embeddings(nn.Module):
    """From encoded ids and numbers to a `FeatureBatch`.

    A null or empty id feature gives zeros; several ids of one row are averaged, except those of `sequences`. Each table has one row per id of
    its encoding, row 0 being the unknown id. The tables' optimizer steps whenever a gradient passes through: one backward a step, and none to
    look around.

    Args:
        fields: the id features, in the order of the batches.
        sequences: those that are looked up position by position.
        candidate: the field of the judged item, if there is one.
    """

    def __init__(
        self,
        fields: list[IdField],
        num_numbers: int,
        width: int,
        optimizer: EmbeddingOptimizer,
        seed: int,
        sequences: Sequence[SequenceField] = (),
        candidate: str | None = None,
    ) -> None:
        super().__init__()
        self.fields = list(fields)
        self.width = width if fields else 0
        self.num_numbers = num_numbers
        self.num_rows = {field.table: field.num_rows for field in fields}
        self.layout = Layout(fields, sequences, candidate)
        self.shape = self.layout.shape(num_numbers, self.width)
        self.sharded = shard(self.layout.looked_up, width, optimizer) if fields else None
        for name, table in self.tables().items():
            table.copy_(initial_table(seed, name, *table.shape))

    def forward(self, batch: Batch) -> FeatureBatch:
        """Look up, pool, and lay side by side in the order of the numbers, then the fields."""
        num_rows = batch.numbers.shape[0]
        if self.sharded is None:
            looked_up = batch.numbers.new_zeros(num_rows, 0)
        else:
            self._check_range(batch)
            looked_up = self.sharded.look_up(*self.layout.by_position(batch.ids, batch.id_lengths))
        looked_up_BGd = looked_up.view(num_rows, len(self.layout.looked_up), self.width)
        features: FeatureBatch = self.layout(batch.numbers, looked_up_BGd, batch.id_lengths)
        return features

    def _check_range(self, batch: Batch) -> None:
        # fbgemm would set an id out of range to 0, in place and without an error.
        for field, values in zip(self.fields, batch.ids.split(batch.id_lengths.sum(1).tolist()), strict=True):
            low, high = (int(bound) for bound in values.aminmax()) if values.numel() else (0, 0)
            if low < 0 or high >= field.num_rows:
                raise DataError(
                    f"An encoded id of {field.name!r} lies outside of its table",
                    where=f"epoch {batch.cursor.epoch}, row {batch.cursor.row}",
                    found=f"{low} to {high}",
                    expected=f"0 to {field.num_rows - 1}",
                    do="Run prepare again.",
                )

    @torch.no_grad()
    def tables(self) -> dict[str, Tensor]:
        """The live weights [rows, d] of the tables that this rank holds, by name; writing to them changes the model."""
        return self.sharded.weights() if self.sharded is not None else {}

    def optimizer_state(self) -> dict[str, Tensor]:
        """The live optimizer state of the tables that this rank holds, named `<table>.<state>`."""
        return self.sharded.optimizer_state() if self.sharded is not None else {}

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of the steps whose look-up comes after this call."""
        if self.sharded is not None:
            self.sharded.set_lr(lr)

    def elsewhere(self) -> set[str]:
        """The names of the tables that other ranks hold."""
        return set(self.num_rows) - set(self.tables())
