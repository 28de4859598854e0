"""The pipeline of a configuration's features: one object that is fitted on train rows, encodes the log, and runs inside the artifact."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtrec.errors import BundleError, DataError
from mtrec.features.checks import IdColumns, NumberColumns, StringColumns, number_column
from mtrec.features.columns import column_types, read_columns
from mtrec.features.fitting import Fitting
from mtrec.features.inputs import Input, Plan
from mtrec.features.parts import make_chain, make_encoder, takes_numbers
from mtrec.features.plan import plan
from mtrec.features.tables import IdTable, table_class
from mtrec.features.transform import Fitted, NumberTransform
from mtrec.features.vectors import VectorTable
from mtrec.hash64 import is_text
from mtrec.schema import Features

__all__ = ["Encoded", "FeatureSet", "column_types"]

BLOCK_ROWS = 8192  # numbers are transformed in blocks that stay in the cache


class Encoded(NamedTuple):
    """The rows of a table as the model reads them.

    Attributes:
        numbers: [n, N] float32.
        ids: for each id feature its values, int64, one after the other, and how many each row has, [n] int64; then for each vector feature
            the place of each row's vector, and ones.
    """

    numbers: NDArray[np.float32]
    ids: list[tuple[NDArray[np.int64], NDArray[np.int64]]]


class FeatureSet(Fitted):
    """All features of a model: N numbers, F id features and V vectors, from the columns of a log to the inputs of the embeddings.

    Made by `build`; fitted by `take_vectors`, by `observe` over all train rows and then `finish`, or by `load_state`.

    Attributes:
        number_inputs: the N numbers, in their order.
        id_inputs: the F id features in their order: that of the configuration, but those of one table are adjacent.
    """

    number_columns: list[str]
    input_columns: list[str]
    layout: Tensor

    def __init__(self, inputs: Plan, sample_rows: int = 1_000_000) -> None:
        super().__init__()
        self.number_inputs = inputs.numbers
        self.id_inputs = [feature for table in inputs.tables for feature in table.features]
        self.number_columns = [number.column for number in inputs.numbers]
        self.chains = nn.ModuleList(make_chain(number) for number in inputs.numbers)
        self.tables = nn.ModuleList(table_class(table)(table, make_encoder(table)) for table in inputs.tables)
        self.table_names = [table.name for table in inputs.tables]
        self.vector_inputs = inputs.vectors
        self.vectors = nn.ModuleList(VectorTable(vector) for vector in inputs.vectors)
        self.input_columns = [each.column for each in self.inputs()]
        self.sample_rows = sample_rows
        # The state says what it belongs to, so that it cannot be put on columns in another order.
        chains = [[number.column, *(part.model_dump() for part in number.chain)] for number in inputs.numbers]
        encodings = [[table.name, table.encoding.model_dump()] for table in inputs.tables]
        features = [[*feature.inputs(), feature.kind, feature.table, feature.max_length] for feature in self.id_inputs]
        vectors = [[[vector.column, vector.type, vector.normalise] for vector in inputs.vectors]] if inputs.vectors else []
        self.layout_text = json.dumps([chains, encodings, features, *vectors])
        self.register_buffer("layout", torch.tensor(list(self.layout_text.encode()), dtype=torch.uint8))
        self._fitting = self._new_fitting()

    @classmethod
    def build(cls, features: Features, types: Mapping[str, str], sample_rows: int = 1_000_000) -> "FeatureSet":
        """The pipeline of a configuration's features over a log, not yet fitted.

        Args:
            features: the section `features`.
            types: the type of each column, from `column_types`.
            sample_rows: number transforms are fitted on at most so many train rows, those of smallest hash.

        Raises:
            ConfigError: if a transform or its options do not exist.
            DataError: naming every feature that does not fit the columns.
        """
        kinds = {feature.encoding.kind: f"features.ids.{feature.name}.encoding" for feature in features.ids}
        return cls(plan(features, types, {kind: takes_numbers(kind, where) for kind, where in kinds.items()}), sample_rows)

    def take_vectors(self, vectors: Sequence[tuple[pa.Array, NDArray[np.float32]]]) -> None:
        """Take over, for each vector feature, ids (Arrow int64 or text, each once) and their vectors [ids, width]."""
        for part, (keys, values) in zip(self.vectors, vectors, strict=True):
            cast(VectorTable, part).fit(keys, values)

    def observe(self, batch: pa.RecordBatch | pa.Table, row_hash: NDArray[np.uint64]) -> None:
        """Take in train rows; what is fitted does not depend on their order, nor on how they are cut into batches.

        Args:
            row_hash: [n] uint64, a hash of each row that does not depend on where it lies.
        """
        self._fitting.observe(read_columns(batch, self.inputs(), strict=False), row_hash)

    def finish(self) -> None:
        """Fit everything on the rows observed, and forget them.

        Raises:
            DataError: naming every feature without a value to be fitted on.
        """
        if not all(cast(VectorTable, part).rows.numel() for part in self.vectors):
            raise DataError("Vector features were given no vectors", where="features.vectors")
        self._fitting.finish()
        self._fitting = self._new_fitting()

    def encode(self, table: pa.Table | pa.RecordBatch, strict: bool = True) -> Encoded:
        """Encode rows, the fast way; bitwise equal to `forward` on the same rows.

        Args:
            strict: refuse infinite numbers, and those out of bounds that `bounds` refuses; otherwise they count as null.

        Raises:
            DataError: naming all columns that do not fit.
        """
        raw = read_columns(table, self.inputs(), strict)
        if strict:
            self._refuse_out_of_bounds(raw.numbers)
        numbers = np.empty((raw.num_rows, len(self.number_columns)), dtype=np.float32)
        for start in range(0, raw.num_rows, BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            columns = {name: torch.from_numpy(values[block]) for name, values in raw.numbers.items()}
            for place, (name, chain) in enumerate(zip(self.number_columns, self.chains, strict=True)):
                numbers[block, place] = chain(columns[name]).numpy()
        tables = [cast(IdTable, part) for part in self.tables]
        ids = [part.encode(raw, index) for part in tables for index in range(len(part.columns))]
        return Encoded(numbers, ids + [cast(VectorTable, part).encode(raw) for part in self.vectors])

    def forward(self, numbers: NumberColumns, ids: IdColumns, strings: StringColumns) -> tuple[Tensor, Tensor, Tensor]:
        """Encode B raw rows; this is what the artifact runs.

        Args:
            numbers: by column, [B] float64, NaN where null.
            ids: by column, values int64 and lengths [B]; length 0 where null. Lists of numbers (kind number_list of `signature`) come here
                too, with float64 values, NaN where null.
            strings: by column, values and lengths [B]; length 0 where null.

        Returns:
            numbers [B, N + widths of the vectors] float32, the vectors last; id values int64, all rows of the first feature, then of the
                second, and so on; id lengths [F, B] int64.

        Raises:
            ValueError: naming a column that is missing, or whose values, lengths and rows do not fit together.
        """
        num_rows = self._num_rows(numbers, ids, strings)
        transformed: list[Tensor] = []
        for place, chain in enumerate(self.chains):
            transformed.append(chain(number_column(numbers, self.number_columns[place], num_rows)).to(torch.float32))
        parts = [torch.stack(transformed, dim=1) if len(transformed) > 0 else torch.zeros([num_rows, 0])]
        for vector in self.vectors:
            parts += [vector(ids, strings, num_rows)]
        numbers_BN = torch.cat(parts, dim=1)
        values: list[Tensor] = []
        lengths: list[Tensor] = []
        for table in self.tables:
            table_values, table_lengths = table(numbers, ids, strings, num_rows)
            values.extend(table_values)
            lengths.extend(table_lengths)
        if len(values) == 0:
            return numbers_BN, torch.zeros([0], dtype=torch.int64), torch.zeros([0, num_rows], dtype=torch.int64)
        return numbers_BN, torch.cat(values), torch.stack(lengths)

    def _refuse_out_of_bounds(self, columns: Mapping[str, NDArray[np.float64]]) -> None:
        counts: dict[str, int] = {}
        for name, chain in zip(self.number_columns, self.chains, strict=True):
            first = cast(NumberTransform, cast(nn.Sequential, chain)[0])
            counts[name] = max(counts.get(name, 0), first.num_refused(torch.from_numpy(columns[name])))
        found = "; ".join(f"{count} values of `{name}`" for name, count in counts.items() if count)
        if found:
            do = "Clean the log, widen the bounds, or set `outside` to clip or null."
            raise DataError("Numbers lie out of bounds", where="features.numbers", found=found, do=do)

    def _num_rows(self, numbers: NumberColumns, ids: IdColumns, strings: StringColumns) -> int:
        for column in self.input_columns:
            if column in numbers:
                return numbers[column].numel()
            if column in ids:
                return ids[column][1].numel()
            if column in strings:
                return strings[column][1].numel()
        raise ValueError(f"None of the columns {self.input_columns} is among the inputs.")

    def inputs(self) -> list[Input]:
        """The columns that the model reads, each once for each way it is read."""
        numbers = [Input(column, "number") for column in self.number_columns]
        ids = [each for feature in self.id_inputs for each in feature.inputs()]
        return list(dict.fromkeys(numbers + ids + [vector.input() for vector in self.vector_inputs]))

    def signature(self) -> list[dict[str, str]]:
        """The columns that `forward` needs: column and kind (number, id, string, id_list, string_list, number_list).

        A number_list also has `aligned_to`, the list column whose lengths it must have.
        """
        named = [each._asdict() for each in self.inputs()]
        return [{key: value for key, value in each.items() if value is not None} for each in named]

    def table_sizes(self) -> dict[str, int]:
        """How many rows the embedding table of each name needs; known once fitted."""
        return {name: cast(IdTable, table).encoder.size for name, table in zip(self.table_names, self.tables, strict=True)}

    def raw_inputs(self, table: pa.Table | pa.RecordBatch) -> tuple[NumberColumns, IdColumns, StringColumns]:
        """The inputs of `forward` for the rows of a table."""
        raw = read_columns(table, self.inputs(), strict=False)
        numbers = {column: torch.from_numpy(values) for column, values in raw.numbers.items()}
        ids: IdColumns = {}
        strings: StringColumns = {}
        for column, (values, lengths) in raw.values.items():
            if is_text(values.type):
                strings[column] = (values.to_pylist(), torch.tensor(lengths))
            else:
                ids[column] = (torch.tensor(values.to_numpy(zero_copy_only=False)), torch.tensor(lengths))
        return numbers, ids, strings

    def refresh(self) -> None:
        if bytes(self.layout.tolist()).decode(errors="replace") != self.layout_text:
            raise BundleError("The fitted state belongs to other features, or to other options of them", do="Run prepare again.")

    def _new_fitting(self) -> Fitting:
        return Fitting(self.number_columns, self.chains, self.tables, self.sample_rows)  # type: ignore[arg-type]
