"""The fitting of a feature set: statistics gathered from train rows, then every transform fitted on them."""

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtrec.errors import DataError
from mtrec.features.columns import Raw
from mtrec.features.tables import IdTable
from mtrec.features.train_statistics import Counts, Sample
from mtrec.features.transform import NumberTransform

__all__ = ["Fitting"]


class Fitting:
    """Counts of the ids of each table, and a sample of the numbers, of the train rows seen so far.

    Args:
        columns: the column of each chain.
        chains: the chains of number transforms.
        tables: the tables whose encoders are fitted.
        limit: the most rows whose numbers are kept, those of smallest hash.
    """

    def __init__(self, columns: Sequence[str], chains: Iterable[nn.Sequential], tables: Iterable[IdTable], limit: int) -> None:
        self._columns = columns
        self._chains = list(chains)
        self._tables = [table for table in tables if table.encoder.learns]
        singles = [
            column
            for table in self._tables
            for column, single in zip(table.columns, table.single, strict=True)
            if table.encoder.takes_numbers and single
        ]
        self._places = {column: place for place, column in enumerate(dict.fromkeys([*columns, *singles]))}
        self._sample = Sample(limit)
        self._counts = [Counts() for _ in self._tables]
        self._list_samples = [Sample(limit) for _ in self._tables]

    def observe(self, raw: Raw, row_hash: NDArray[np.uint64]) -> None:
        """Take in the train rows of a batch, and the hash of each."""
        if len(row_hash) != raw.num_rows:
            raise DataError("Every row needs a hash", found=f"{len(row_hash)} hashes for {raw.num_rows} rows")
        if self._places:
            self._sample.add(row_hash, np.stack([raw.numbers[column] for column in self._places]))
        for table, counts, sample in zip(self._tables, self._counts, self._list_samples, strict=True):
            for index, single in enumerate(table.single):
                if table.encoder.takes_numbers and single:
                    continue  # one number a row: in the sample above
                values, lengths = table.raw(raw, index)
                if table.encoder.takes_numbers:
                    sample.add(np.repeat(row_hash, lengths), values.to_numpy(zero_copy_only=False)[None, :])
                else:
                    counts.add(values)

    def finish(self) -> None:
        """Fit every transform.

        Raises:
            DataError: naming every feature that has no value to be fitted on.
        """
        faults: list[str] = []
        sample = self._sample.result()
        for column, chain in zip(self._columns, self._chains, strict=True):
            try:
                _fit_chain(chain, _row(sample, self._places[column]))
            except DataError as error:
                faults.append(f"number `{column}`: {error}")
        for table, counts, list_sample in zip(self._tables, self._counts, self._list_samples, strict=True):
            try:
                if table.encoder.takes_numbers:
                    places = [self._places[column] for column, single in zip(table.columns, table.single, strict=True) if single]
                    parts = [_row(sample, place) for place in places] + [_row(list_sample.result(), 0)]
                    table.encoder.fit(torch.cat(parts))
                else:
                    table.encoder.fit(*counts.result())
            except DataError as error:
                faults.append(f"id `{', '.join(table.columns)}`: {error}")
        if faults:
            raise DataError("Features cannot be fitted on the train rows", where="features", found=" ".join(faults))


def _fit_chain(chain: nn.Sequential, values: Tensor) -> None:
    for step in chain:
        assert isinstance(step, NumberTransform)
        step.fit(values)
        values = step(values)


def _row(sample: NDArray[np.float64], place: int) -> Tensor:
    return torch.from_numpy(sample[place].copy()) if place < len(sample) else torch.zeros(0, dtype=torch.float64)
