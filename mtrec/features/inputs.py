"""The inputs of a model: columns as they are read, numbers and ids as the model sees them."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from mtrec.schema import TransformPart

__all__ = ["IdInput", "Input", "InputKind", "NumberInput", "Plan", "TableInput", "VectorInput"]

InputKind = Literal["number", "id", "string", "id_list", "string_list", "number_list"]


class Input(NamedTuple):
    """A column that the model reads. A list of numbers is aligned with the list in the column `aligned_to`."""

    column: str
    kind: InputKind
    aligned_to: str | None = None


@dataclass(frozen=True)
class NumberInput:
    """One number of the model: a column through a chain of transforms."""

    column: str
    chain: tuple[TransformPart, ...]

    @property
    def name(self) -> str:
        return ".".join([self.column, *(part.kind for part in self.chain)])


@dataclass(frozen=True)
class IdInput:
    """One id feature of the model.

    Attributes:
        columns: the column it is read from; two or more for a cross.
        types: the type of each, int, string or number, that of the values for a list.
        table: the embedding table that it looks up in.
        max_length: the most values a row has; 1 unless multi or sequence.
        aligned_to: the list column that its numbers stand beside, None for all but those.
    """

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    kind: Literal["single", "multi", "sequence", "cross", "buckets"]
    table: str
    max_length: int
    aligned_to: str | None = None

    @property
    def value_type(self) -> str:
        """What its encoder is given: int, string, number, or cross."""
        return "cross" if self.kind == "cross" else self.types[0]

    def inputs(self) -> list[Input]:
        """The columns as inputs of the model."""
        return [Input(column, self._input_kind(each), self.aligned_to) for column, each in zip(self.columns, self.types, strict=True)]

    def _input_kind(self, value_type: str) -> InputKind:
        if self.kind in ("multi", "sequence"):
            return "number_list" if value_type == "number" else "string_list" if value_type == "string" else "id_list"
        return "number" if value_type == "number" else "string" if value_type == "string" else "id"


@dataclass
class TableInput:
    """An embedding table: its encoder and the id features that look up in it."""

    name: str
    encoding: TransformPart
    features: list[IdInput]


@dataclass(frozen=True)
class VectorInput:
    """One vector feature of the model: the column of ids that it is read from, and their type, int or string."""

    column: str
    type: str
    normalise: bool

    def input(self) -> Input:
        """The column as an input of the model."""
        return Input(self.column, "string" if self.type == "string" else "id")


@dataclass
class Plan:
    """The inputs of a model in their order; the features of one table are adjacent."""

    numbers: list[NumberInput]
    tables: list[TableInput]
    vectors: list[VectorInput]
