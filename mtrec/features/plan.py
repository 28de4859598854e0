"""What a configuration's features mean for the columns of a log: which are read, how, and which share a table; all faults in one report."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Literal

from mtrec.errors import DataError
from mtrec.features.inputs import IdInput, NumberInput, Plan, TableInput, VectorInput
from mtrec.registry import suggest
from mtrec.schema import Features, IdFeature, NumberFeature, SequenceFeature, TransformPart, VectorFeature

__all__ = ["plan"]


def plan(features: Features, types: Mapping[str, str], takes_numbers: Mapping[str, bool]) -> Plan:
    """Work out the inputs of the model.

    Args:
        types: by column, as `column_types` gives them.
        takes_numbers: by kind of id encoding, whether it is fed with numbers.

    Raises:
        DataError: naming every fault.
    """
    planner = _Planner(types, takes_numbers)
    planner.add_numbers(features.numbers)
    for feature in features.ids:
        planner.add_id(feature)
    for sequence in features.sequences:
        planner.add_sequence(sequence)
    for vector in features.vectors:
        planner.add_vector(vector)
    if not (features.ids or features.numbers or features.sequences or features.vectors):
        planner.faults.append("there is no feature at all")
    if planner.faults:
        raise DataError(
            "The features do not fit the columns of the log",
            where="features",
            found="; ".join(planner.faults),
            do="Correct the features of the configuration, or the log.",
        )
    return Plan(planner.numbers, list(planner.tables.values()), planner.vectors)


class _Planner:
    def __init__(self, types: Mapping[str, str], takes_numbers: Mapping[str, bool]) -> None:
        self.types = types
        self.takes_numbers = takes_numbers
        self.faults: list[str] = []
        self.numbers: list[NumberInput] = []
        self.tables: dict[str, TableInput] = {}
        self.vectors: list[VectorInput] = []
        self.by_name: dict[str, tuple[IdInput, TableInput]] = {}

    def add_numbers(self, features: Sequence[NumberFeature]) -> None:
        """Exact names first take their columns, then each glob what is left of the numbers it matches."""
        named = {feature.column for feature in features}
        for column in {name for name in named if [feature.column for feature in features].count(name) > 1}:
            self.faults.append(f"number `{column}` is listed twice")
        taken = named & self.types.keys()
        for feature in features:
            columns = [feature.column]
            if feature.column in self.types:
                self._type_of(feature.column, ("int", "number"), f"number `{feature.column}`", "Numbers must be whole numbers or floats")
            elif not any(sign in feature.column for sign in "*?["):
                self._missing(feature.column, f"number `{feature.column}`")
            else:
                matched = [name for name, kind in self.types.items() if kind in ("int", "number") and fnmatchcase(name, feature.column)]
                if not matched:
                    self.faults.append(f"number glob `{feature.column}` matches no column of numbers")
                columns = [name for name in matched if name not in taken]
                taken |= set(columns)
            self.numbers += [NumberInput(column, tuple(chain)) for column in columns for chain in feature.transforms]

    def add_id(self, feature: IdFeature) -> None:
        where, encoding = f"id `{feature.name}`", feature.encoding
        numeric = self.takes_numbers.get(encoding.kind, False)
        columns = tuple(feature.cross) if feature.column is None else (feature.column,)
        allowed = ("int", "number") if numeric else ("int_list", "string_list") if feature.multi else ("int", "string")
        if numeric and (feature.multi or feature.cross):
            self.faults.append(f"{where}: {encoding.kind} takes one column with one number a row")
            return
        if encoding.kind == "cross" and not feature.cross:
            self.faults.append(f"{where}: encoding cross needs `cross: [column, column]` in place of `column`")
        types = [self._type_of(column, allowed, where, self._advice(column, feature.multi)) for column in columns]
        if None in types:
            return
        values = tuple("number" if numeric else str(each).removesuffix("_list") for each in types)
        kind: Literal["single", "multi", "cross", "buckets"]
        kind = "buckets" if numeric else "cross" if feature.cross else "multi" if feature.multi else "single"
        length = feature.max_length if feature.multi else 1
        self._add(IdInput(feature.name, columns, values, kind, feature.table or feature.name, length), encoding)

    def add_sequence(self, sequence: SequenceFeature) -> None:
        source, where = sequence.source, f"sequence `{sequence.source}`"
        for column in sequence.shares.keys() - {source}:
            self.faults.append(f"{where}: shares names `{column}`, which is not its list column")
        found = self._type_of(source, ("int_list", "string_list"), where, "A sequence is read from a column of lists of whole numbers or text")
        table, encoding = source, TransformPart(kind="vocabulary")
        if source in sequence.shares:
            shared = sequence.shares[source]
            if shared not in self.by_name:
                hint = suggest(shared, list(self.by_name)) or f"Known are: {', '.join(self.by_name) or 'none'}."
                self.faults.append(f"{where}: shares the table of `{shared}`, which is not among the ids. {hint}")
                return
            table, encoding = self.by_name[shared][1].name, self.by_name[shared][1].encoding
        if found is not None:
            feature = IdInput(source, (source,), (found.removesuffix("_list"),), "sequence", table, sequence.max_length)
            self._add(feature, encoding)
        for column in sequence.numbers:
            advice = f"It must hold lists of numbers, aligned with `{source}`"
            if self._type_of(column, ("int_list", "number_list"), f"aligned number `{column}`", advice) is not None:
                feature = IdInput(column, (column,), ("number",), "sequence", column, sequence.max_length, aligned_to=source)
                self._add(feature, TransformPart.model_validate({"kind": "buckets", "num_buckets": sequence.buckets}))

    def add_vector(self, feature: VectorFeature) -> None:
        advice = "Vectors are found by one whole number or text a row"
        found = self._type_of(feature.column, ("int", "string"), f"vector of `{feature.column}`", advice)
        if found is not None:
            self.vectors.append(VectorInput(feature.column, found, feature.normalise))

    def _add(self, feature: IdInput, encoding: TransformPart) -> None:
        if feature.name in self.by_name:
            self.faults.append(f"`{feature.name}` is declared twice among ids, sequences and their numbers")
            return
        entry = self.tables.setdefault(feature.table, TableInput(feature.table, encoding, []))
        first = entry.features[0] if entry.features else feature
        if (entry.encoding, first.value_type) != (encoding, feature.value_type):
            self.faults.append(
                f"`{feature.name}` and `{first.name}` share table `{feature.table}`, but not one encoding and type of values: "
                f"{encoding.kind} of {feature.value_type} and {entry.encoding.kind} of {first.value_type}"
            )
            return
        entry.features.append(feature)
        self.by_name[feature.name] = (feature, entry)

    def _type_of(self, column: str, allowed: tuple[str, ...], where: str, advice: str) -> str | None:
        if column not in self.types:
            self._missing(column, where)
            return None
        if self.types[column] not in allowed:
            self.faults.append(f"{where}: column `{column}` is of type {self.types[column]}. {advice}")
            return None
        return self.types[column]

    def _missing(self, column: str, where: str) -> None:
        hint = suggest(column, list(self.types))
        self.faults.append(f"{where}: column `{column}` is missing" + (f". {hint}" if hint else ""))

    def _advice(self, column: str, multi: bool) -> str:
        found = self.types.get(column, "")
        if found == "number":
            return "Ids cannot be floats, which lose whole numbers beyond 2^53: store it as int64 or text, or use encoding buckets"
        if found.endswith("_list") and not multi:
            return "A column of lists needs `multi: true`, or belongs to the sequences"
        if multi and found in ("int", "string"):
            return "`multi: true` needs a column of lists"
        return "Ids must be whole numbers or text: cast the column"
