"""Scores from an exported artifact: torch and the standard library are all that is needed.

An artifact is a program: load only those whose maker you trust. Its manifest proves that no file was damaged; to prove who made it, pin the
manifest's SHA-256, known from elsewhere, with `expected_sha256`.

Shapes: B rows.
"""

import contextlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtrec.errors import BundleError, DataError, GateError
from mtrec.store import Bundle

__all__ = ["FORMAT", "TOLERANCE", "Artifact", "Input", "Output", "Request", "difference", "load_artifact", "make_request", "quiet_torchscript"]

FORMAT = 1
TOLERANCE = 1e-6
_KINDS = ("number", "id", "string", "id_list", "string_list", "number_list")
_EXACT_FLOAT = 2.0**53
_INT64 = range(-(2**63), 2**63)

Request = tuple[dict[str, Tensor], dict[str, tuple[Tensor, Tensor]], dict[str, tuple[list[str], Tensor]]]


class Input(NamedTuple):
    """A column that the artifact reads; `kind` is number, id, string, id_list, string_list or number_list, the last aligned with a list column."""

    column: str
    kind: str
    aligned_to: str | None = None


class Output(NamedTuple):
    """What the artifact serves under `name`: a probability (`kind` binary), or a value in label units whose usual spread is `scale`."""

    name: str
    kind: str
    scale: float = 1.0


class _Column(NamedTuple):
    """All values of a column one after the other, how many each row has, and which of the values are not null: [sum], [B] int64, [sum] bool."""

    values: Any
    lengths: Tensor
    kept: Tensor


class Artifact:
    """An exported model, verified and ready to score.

    Attributes:
        path: its directory.
        meta: what its maker wrote into the manifest.
        inputs: the columns that it reads.
        outputs: what it serves.
        model: the script itself; `forward(numbers, ids, strings) -> {output: [B]}`.
    """

    def __init__(self, path: Path, meta: dict[str, Any], inputs: list[Input], outputs: list[Output], model: Any) -> None:
        self.path, self.meta, self.inputs, self.outputs, self.model = path, meta, inputs, outputs, model

    def predict(self, rows: Any, batch_size: int = 4096) -> Any:
        """Scores of raw rows: probabilities in [0, 1], or values in label units.

        Args:
            rows: a pandas DataFrame, an Arrow table, whatever has `to_arrow()` (polars), or {column: list}, where None is null and the cells of
                list columns are lists. Columns that the model does not read are ignored. NaN in a DataFrame is null.
            batch_size: rows scored at a time; it bounds memory only.

        Returns:
            A pandas DataFrame with one column an output; with the index of `rows`, if that is a DataFrame. For {column: list}, {output: list}.

        Raises:
            DataError: naming the columns that are missing, of unequal length, or of values that their kind cannot hold.
        """
        scores = self.scores(rows, batch_size)
        if isinstance(rows, Mapping):
            return {name: values.tolist() for name, values in scores.items()}
        columns = {name: values.numpy() for name, values in scores.items()}
        if _is_pandas(rows):
            return type(rows)(columns, index=rows.index)
        import pandas

        return pandas.DataFrame(columns)

    def scores(self, rows: Any, batch_size: int = 4096) -> dict[str, Tensor]:
        """As `predict`, but {output: float32 [B]}."""
        columns, num_rows = _columns_of(rows, self.inputs)
        # No rows are scored too, so that the outputs have their names and types.
        starts = range(0, num_rows, batch_size) if num_rows else [0]
        parts = [self.run(_request(columns, self.inputs, start, min(batch_size, num_rows - start))) for start in starts]
        return {output.name: torch.cat([part[output.name] for part in parts]) for output in self.outputs}

    def run(self, request: Request) -> dict[str, Tensor]:
        """The outputs of a request as the script takes it, {output: [B]}.

        Raises:
            DataError: if the script refuses the request.
        """
        try:
            with torch.no_grad():
                scores: dict[str, Tensor] = self.model(*request)
        except torch.jit.Error as error:
            raise DataError("The model refuses the request", where=self.path, found=refusal(error)) from None
        return scores

    def golden_check(self) -> float:
        """Score the rows that travel with the artifact again; returns the largest difference from their scores, as `difference` measures it.

        Raises:
            GateError: naming the worst row, if the difference exceeds 1e-6, or if pyarrow, which reads the rows, is missing.
        """
        try:
            import pyarrow.parquet
        except ImportError as error:
            raise GateError("The golden rows cannot be read without pyarrow", where=self.path, do="Install it, or leave out the check.") from error
        golden = pyarrow.parquet.read_table(self.path / "golden.parquet", page_checksum_verification=True)
        scores = self.scores(golden)
        worst = 0.0
        for output in self.outputs:
            expected = torch.tensor(golden.column(f"score:{output.name}").to_numpy())
            apart = difference(scores[output.name], expected, output)
            row = int(apart.argmax())
            if not float(apart[row]) <= TOLERANCE:
                raise GateError(
                    "The artifact does not repeat its golden scores on this machine",
                    where=f"output `{output.name}`, golden row {row}",
                    found=float(scores[output.name][row]),
                    expected=f"{float(expected[row])}, to {TOLERANCE}",
                    do="Use the torch version that it was exported with, or export it again.",
                )
            worst = max(worst, float(apart[row]))
        return worst


def load_artifact(path: str | Path, expected_sha256: str | None = None, self_check: bool = False) -> Artifact:
    """Verify an artifact's files and load it, on the CPU.

    Args:
        expected_sha256: of its manifest.json, known from elsewhere.
        self_check: replay the golden rows; needs pyarrow.

    Raises:
        BundleError: if a file is damaged, missing or added, or the format is not known; torch has then opened nothing.
        GateError: if `self_check` fails.
    """
    bundle = Bundle.open(path, kind="artifact", manifest_sha256=expected_sha256)
    inputs, outputs = _read_signature(bundle.path / "signature.json")
    with quiet_torchscript():
        model = torch.jit.load(str(bundle.path / "model.pt"), map_location="cpu")
    artifact = Artifact(bundle.path, bundle.meta, inputs, outputs, model)
    if self_check:
        artifact.golden_check()
    return artifact


def make_request(rows: Any, inputs: list[Input]) -> Request:
    """What the script is called with, from rows as `Artifact.predict` takes them.

    Raises:
        DataError: as `Artifact.predict` does.
    """
    columns, num_rows = _columns_of(rows, inputs)
    return _request(columns, inputs, 0, num_rows)


def difference(found: Tensor, expected: Tensor, output: Output) -> Tensor:
    """How far scores lie apart, float64 [B]: |found - expected| / max(1, scale, |expected|); infinite where either is not finite.

    The scale is 1 for probabilities. The size of a value counts too, since float32 cannot tell apart 1000 and 1000.00001.
    """
    exact = expected.double()
    apart = (found.double() - exact).abs() / exact.abs().clamp(min=max(1.0, output.scale))
    return torch.where(torch.isfinite(found) & torch.isfinite(exact), apart, torch.inf)


def refusal(error: Exception) -> str:
    """The message that a script raised, without TorchScript's traces around it."""
    return str(error).strip().rpartition("\n")[2].removeprefix("builtins.ValueError: ")


@contextlib.contextmanager
def quiet_torchscript() -> Iterator[None]:
    """Torch warns of every use of TorchScript that it is deprecated; artifacts are TorchScript on purpose."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`torch\.jit\.(script|freeze|save|load)` is deprecated\. Please", DeprecationWarning)
        yield


def _read_signature(file: Path) -> tuple[list[Input], list[Output]]:
    try:
        signature = json.loads(file.read_text(encoding="utf-8"))
        found = signature["format"]
        if isinstance(found, int) and found > FORMAT:
            raise BundleError(
                "A newer mtrec wrote this artifact", where=file, found=f"format {found}", expected=f"format {FORMAT}", do="Update mtrec."
            )
        inputs = [Input(each["column"], each["kind"], each.get("aligned_to")) for each in signature["inputs"]]
        outputs = [Output(each["name"], each["kind"], float(each["scale"])) for each in signature["outputs"]]
        known = found == FORMAT and all(each.kind in _KINDS for each in inputs)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError("The signature is damaged", where=file, found=repr(error), do="Export the artifact again.") from error
    if not known:
        raise BundleError("The signature is damaged", where=file, expected=f"format {FORMAT}, kinds {', '.join(_KINDS)}")
    return inputs, outputs


_Reader = Callable[[Input, int, int], _Column]


def _columns_of(rows: Any, inputs: list[Input]) -> tuple[_Reader, int]:
    """How to read a range of rows of one column, and the number of rows."""
    wanted = list(dict.fromkeys(each.column for each in inputs))
    if hasattr(rows, "to_arrow"):
        rows = rows.to_arrow()
    if hasattr(rows, "to_pydict"):
        names = list(rows.schema.names)
    elif _is_pandas(rows):
        names = list(rows.columns)
    elif isinstance(rows, Mapping):
        names = list(rows)
    else:
        raise DataError("Rows of this type cannot be read", found=type(rows), expected="a DataFrame, an Arrow table, or {column: list}")
    missing = [name for name in wanted if name not in names]
    if missing:
        raise DataError("The rows lack columns that the model reads", found=f"no {', '.join(f'`{name}`' for name in missing)}", expected=wanted)
    twice = [name for name in wanted if names.count(name) > 1]
    if twice:
        raise DataError("The rows have columns twice", found=", ".join(f"`{name}`" for name in twice), do="Rename or drop one of each.")
    if isinstance(rows, Mapping):
        return _python_columns({name: _as_list(rows[name], name) for name in wanted})
    loose = _is_pandas(rows)
    if loose:
        rows = _pandas_to_arrow(rows[wanted])
    columns = {name: rows.column(name) for name in wanted}
    return (lambda each, start, count: _arrow_column(columns[each.column].slice(start, count), each, loose)), rows.num_rows


def _request(read: _Reader, inputs: list[Input], start: int, count: int) -> Request:
    numbers: dict[str, Tensor] = {}
    ids: dict[str, tuple[Tensor, Tensor]] = {}
    strings: dict[str, tuple[list[str], Tensor]] = {}
    columns: dict[str, _Column] = {}
    for each in sorted(inputs, key=lambda each: each.aligned_to is not None):  # lists before what is aligned with them
        column = read(each, start, count)
        if each.kind == "number":
            numbers[each.column] = column.values
            continue
        columns[each.column] = column
        kept = column.kept
        if each.aligned_to is not None:
            main = columns[each.aligned_to]
            if not torch.equal(main.lengths, column.lengths):
                raise DataError("Lists that stand side by side differ in length", where=f"columns `{each.column}` and `{each.aligned_to}`")
            kept = main.kept
        values, lengths = column.values, column.lengths
        if not bool(kept.all()):
            values = [value for value, keep in zip(values, kept.tolist(), strict=True) if keep] if isinstance(values, list) else values[kept]
            row_of_value = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
            lengths = torch.bincount(row_of_value[kept], minlength=len(lengths))
        if each.kind.startswith("string"):
            strings[each.column] = (values, lengths)
        else:
            ids[each.column] = (values, lengths)
    return numbers, ids, strings


def _python_columns(columns: dict[str, list[Any]]) -> tuple[_Reader, int]:
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        raise DataError("The columns are of unequal length", found=", ".join(f"`{name}` {count}" for name, count in counts.items()))
    return (lambda each, start, count: _python_column(columns[each.column][start : start + count], each)), next(iter(counts.values()), 0)


def _as_list(values: Any, name: str) -> list[Any]:
    if hasattr(values, "tolist"):
        values = values.tolist()
    if not isinstance(values, list | tuple):
        raise DataError(f"The values of column `{name}` are not a list", found=type(values), expected="a list with one cell a row")
    return list(values)


def _python_column(cells: list[Any], each: Input) -> _Column:
    if each.kind == "number":
        values = torch.tensor([_number(value, each) for value in cells], dtype=torch.float64)
        return _Column(values, torch.ones(len(cells), dtype=torch.int64), torch.ones(len(cells), dtype=torch.bool))
    if each.kind.endswith("_list"):
        lists = [[] if _is_null(cell) else _as_list(cell, each.column) for cell in cells]
    else:
        lists = [[] if _is_null(cell) else [cell] for cell in cells]
    flat = [value for values in lists for value in values]
    lengths = torch.tensor([len(values) for values in lists], dtype=torch.int64)
    if each.kind == "number_list":
        numbers = torch.tensor([_number(value, each) for value in flat], dtype=torch.float64)
        return _Column(numbers, lengths, torch.ones(len(flat), dtype=torch.bool))
    kept = torch.tensor([not _is_null(value) for value in flat], dtype=torch.bool)
    if each.kind.startswith("string"):
        return _Column([None if _is_null(value) else _text(value, each) for value in flat], lengths, kept)
    return _Column(torch.tensor([0 if _is_null(value) else _whole(value, each) for value in flat], dtype=torch.int64), lengths, kept)


def _is_null(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _number(value: Any, each: Input) -> float:
    try:
        return float("nan") if value is None else _refuse(value, each) if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return _refuse(value, each)


def _whole(value: Any, each: Input) -> int:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_FLOAT:
        return int(value)
    whole = value.__index__() if hasattr(value, "__index__") else _refuse(value, each)
    return int(whole) if whole in _INT64 else _refuse(value, each)


def _text(value: Any, each: Input) -> str:
    return str(value) if isinstance(value, str) else _refuse(value, each)


def _refuse(value: Any, each: Input) -> Any:
    expected = {"number": "a number", "id": "a whole number of 64 bits", "string": "text"}[each.kind.removesuffix("_list")]
    raise DataError(f"A value of column `{each.column}` does not fit", found=f"{value!r} ({type(value).__name__})", expected=f"{expected}, or null")


def _is_pandas(rows: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(rows, pandas.DataFrame)


def _pandas_to_arrow(frame: Any) -> Any:
    import pyarrow

    try:
        return pyarrow.Table.from_pandas(frame, preserve_index=False)
    except (pyarrow.ArrowException, OverflowError) as error:
        raise DataError("A column of the DataFrame holds values of several types", found=error, expected="one type a column") from error


def _arrow_column(column: Any, each: Input, loose: bool) -> _Column:
    """One column of an Arrow table; `loose` takes whole floats for ids, since pandas makes floats of whole numbers with nulls."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    lengths = torch.ones(len(array), dtype=torch.int64)
    is_list, kind = each.kind.endswith("_list"), each.kind.removesuffix("_list")
    try:
        if is_list:
            array = array.cast(pa.list_(pa.null())) if pa.types.is_null(array.type) else array
            lengths = _to_tensor(pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64()))
            array = pc.list_flatten(array)
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        if loose and kind == "id" and pa.types.is_floating(array.type):
            array = _whole_of_floats(array)
        if not _fits(array.type, kind):
            raise pa.ArrowInvalid(f"values of type {array.type}")
        if kind == "number":
            return _Column(_to_tensor(array.cast(pa.float64(), safe=False)), lengths, torch.ones(len(array), dtype=torch.bool))
        kept = _to_tensor(array.is_valid())
        if not is_list:  # a null among single values is a row without any
            array, lengths, kept = array.drop_null(), kept.to(torch.int64), kept[kept]
        values = array.cast(pa.large_string()).to_pylist() if kind == "string" else _to_tensor(pc.fill_null(array.cast(pa.int64()), 0))
    except pa.ArrowException as error:
        raise DataError(f"Column `{each.column}` cannot be read as {each.kind}", found=f"type {column.type}, {error}") from error
    return _Column(values, lengths, kept)


def _fits(arrow_type: Any, kind: str) -> bool:
    from pyarrow import types

    whole = types.is_integer(arrow_type) or types.is_boolean(arrow_type) or types.is_null(arrow_type)
    if kind == "string":
        return bool(types.is_string(arrow_type) or types.is_large_string(arrow_type) or types.is_string_view(arrow_type) or types.is_null(arrow_type))
    return bool(whole or (kind == "number" and (types.is_floating(arrow_type) or types.is_decimal(arrow_type))))


def _whole_of_floats(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
    if not pc.all(pc.less_equal(pc.abs(array), _EXACT_FLOAT), min_count=0).as_py():
        raise pa.ArrowInvalid("floats beyond 2^53, which may stand for other ids: use Int64")
    return array.cast(pa.int64())  # refuses fractions


def _to_tensor(array: Any) -> Tensor:
    return torch.tensor(array.to_numpy(zero_copy_only=False))  # a copy, since Arrow's own memory is read-only
