"""The id features of one embedding table, encoded by the one encoder that they share; a class for each type of raw values.

Each has two forms of one computation: `forward`, scriptable, on the raw inputs of an artifact, and `encode`, on columns read from Arrow.
Both give, for each feature, the rows of the table (int64, one after the other) and how many each row of the log has ([n] int64).
"""

from abc import ABC, abstractmethod

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtrec.features.checks import IdColumns, NumberColumns, StringColumns, id_column, newest, number_column, string_column
from mtrec.features.columns import Raw
from mtrec.features.inputs import TableInput
from mtrec.features.transform import IdTransform
from mtrec.hash64 import combine_hashes, hash_array, hash_int64, hash_strings

__all__ = ["CrossTable", "IdTable", "IntTable", "NumberTable", "StringTable", "table_class"]


class IdTable(nn.Module, ABC):
    """The encoder of one table, and the columns that it encodes."""

    columns: list[str]
    max_lengths: list[int]
    single: list[bool]
    aligned_to: list[str]

    def __init__(self, table: TableInput, encoder: IdTransform) -> None:
        super().__init__()
        self.encoder = encoder
        self.columns = [feature.columns[0] for feature in table.features]
        self.max_lengths = [feature.max_length for feature in table.features]
        self.single = [feature.kind in ("single", "cross", "buckets") for feature in table.features]
        self.aligned_to = [feature.aligned_to or "" for feature in table.features]

    @abstractmethod
    def raw(self, raw: Raw, index: int) -> tuple[pa.Array, NDArray[np.int64]]:
        """What the encoder sees of one feature: values and lengths, cut to the newest."""

    def encode(self, raw: Raw, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """One feature encoded: table rows and lengths."""
        values, lengths = self.raw(raw, index)
        return self.encoder.encode(values), lengths

    def _newest(self, raw: Raw, index: int) -> tuple[pa.Array, NDArray[np.int64]]:
        values, lengths = raw.values[self.columns[index]]
        max_length = self.max_lengths[index]
        if not len(lengths) or lengths.max() <= max_length:
            return values, lengths
        kept = newest(torch.tensor(lengths), max_length).numpy()
        return values.filter(pa.array(kept)), np.minimum(lengths, max_length)


class IntTable(IdTable):
    """Whole numbers, one or several a row."""

    def raw(self, raw: Raw, index: int) -> tuple[pa.Array, NDArray[np.int64]]:
        return self._newest(raw, index)

    def forward(self, numbers: NumberColumns, ids: IdColumns, strings: StringColumns, num_rows: int) -> tuple[list[Tensor], list[Tensor]]:
        rows: list[Tensor] = []
        all_lengths: list[Tensor] = []
        for index, column in enumerate(self.columns):
            values, lengths = id_column(ids, column, num_rows, self.single[index], False)
            if not self.single[index]:
                values = values[newest(lengths, self.max_lengths[index])]
            rows.append(self.encoder(values))
            all_lengths.append(lengths.clamp(max=self.max_lengths[index]))
        return rows, all_lengths


class StringTable(IdTable):
    """Text, one or several a row."""

    def raw(self, raw: Raw, index: int) -> tuple[pa.Array, NDArray[np.int64]]:
        return self._newest(raw, index)

    def forward(self, numbers: NumberColumns, ids: IdColumns, strings: StringColumns, num_rows: int) -> tuple[list[Tensor], list[Tensor]]:
        rows: list[Tensor] = []
        all_lengths: list[Tensor] = []
        for index, column in enumerate(self.columns):
            values, lengths = string_column(strings, column, num_rows, self.single[index])
            encoded = self.encoder.forward_strings(values)
            rows.append(encoded if self.single[index] else encoded[newest(lengths, self.max_lengths[index])])
            all_lengths.append(lengths.clamp(max=self.max_lengths[index]))
        return rows, all_lengths


class NumberTable(IdTable):
    """Numbers cut into ranges: one a row, or a list aligned with a list of ids."""

    def raw(self, raw: Raw, index: int) -> tuple[pa.Array, NDArray[np.int64]]:
        if self.single[index]:
            values = raw.numbers[self.columns[index]]
            return pa.array(values), np.ones(len(values), dtype=np.int64)
        return self._newest(raw, index)

    def encode(self, raw: Raw, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        values, lengths = self.raw(raw, index)
        rows: Tensor = self.encoder(torch.tensor(values.to_numpy(zero_copy_only=False)))
        return rows.numpy(), lengths

    def forward(self, numbers: NumberColumns, ids: IdColumns, strings: StringColumns, num_rows: int) -> tuple[list[Tensor], list[Tensor]]:
        rows: list[Tensor] = []
        all_lengths: list[Tensor] = []
        for index, column in enumerate(self.columns):
            if self.single[index]:
                rows.append(self.encoder(number_column(numbers, column, num_rows)))
                all_lengths.append(torch.ones(num_rows, dtype=torch.int64))
            else:
                values, lengths = id_column(ids, column, num_rows, False, True)
                main = self.aligned_to[index]
                main_lengths = strings[main][1] if main in strings else ids[main][1] if main in ids else lengths
                if main_lengths.numel() != num_rows or not bool((main_lengths.reshape(-1) == lengths).all()):
                    raise ValueError(f"The lists of column `{column}` must be as long as those of column `{main}`.")
                kept = newest(lengths, self.max_lengths[index])
                rows.append(self.encoder(values[kept]))
                all_lengths.append(lengths.clamp(max=self.max_lengths[index]))
        return rows, all_lengths


class CrossTable(IdTable):
    """Combinations of the values of several columns; a row that lacks one of them has no value."""

    crossed: list[list[str]]
    textual: list[list[bool]]

    def __init__(self, table: TableInput, encoder: IdTransform) -> None:
        super().__init__(table, encoder)
        self.crossed = [list(feature.columns) for feature in table.features]
        self.textual = [[each == "string" for each in feature.types] for feature in table.features]
        # An encoder for single ids, such as a vocabulary, is given the combined hash as the id.
        self.combines = not encoder.takes_hashes

    def raw(self, raw: Raw, index: int) -> tuple[pa.Array, NDArray[np.int64]]:
        hashes, lengths = self._hashes(raw, index)
        return pa.array(combine_hashes(hashes).numpy()), lengths

    def encode(self, raw: Raw, index: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        hashes, lengths = self._hashes(raw, index)
        rows: Tensor = self.encoder(combine_hashes(hashes) if self.combines else hashes)
        return rows.numpy(), lengths

    def _hashes(self, raw: Raw, index: int) -> tuple[Tensor, NDArray[np.int64]]:
        columns = [raw.values[column] for column in self.crossed[index]]
        lengths = np.minimum.reduce([each for _, each in columns])
        # Column by column, the hashes of the rows that have all of them.
        hashes = [torch.from_numpy(hash_array(values))[torch.tensor(lengths[each > 0] > 0)] for values, each in columns]
        return torch.stack(hashes, dim=1), lengths

    def forward(self, numbers: NumberColumns, ids: IdColumns, strings: StringColumns, num_rows: int) -> tuple[list[Tensor], list[Tensor]]:
        rows: list[Tensor] = []
        all_lengths: list[Tensor] = []
        for index, columns in enumerate(self.crossed):
            complete = torch.ones(num_rows, dtype=torch.bool)
            spread: list[Tensor] = []
            for place, column in enumerate(columns):
                if self.textual[index][place]:
                    texts, lengths = string_column(strings, column, num_rows, True)
                    hashes = hash_strings(texts)
                else:
                    values, lengths = id_column(ids, column, num_rows, True, False)
                    hashes = hash_int64(values)
                present = lengths > 0
                by_row = torch.zeros(num_rows, dtype=torch.int64)
                by_row[present] = hashes
                spread.append(by_row)
                complete = complete & present
            stacked = torch.stack(spread, dim=1)[complete]
            rows.append(self.encoder(combine_hashes(stacked) if self.combines else stacked))
            all_lengths.append(complete.to(torch.int64))
        return rows, all_lengths


def table_class(table: TableInput) -> type[IdTable]:
    """The class for the values of a table's features."""
    kinds: dict[str, type[IdTable]] = {"int": IntTable, "string": StringTable, "number": NumberTable, "cross": CrossTable}
    return kinds[table.features[0].value_type]
