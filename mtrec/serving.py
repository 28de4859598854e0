"""Scores from an exported artifact: torch and the standard library are all that is needed.

An artifact is a program: load only those whose maker you trust. Its manifest proves that no file was damaged; to prove who made it, pin the
manifest's SHA-256, known from elsewhere, with `expected_sha256`.

Shapes: B rows.
"""

import contextlib
import functools
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mtrec.errors import BundleError, DataError, GateError
from mtrec.request import KINDS, Input, Request, Rows, is_pandas
from mtrec.store import Bundle

__all__ = ["FORMAT", "ROUNDING", "TOLERANCE", "Artifact", "Output", "difference", "load_artifact", "quiet_torchscript", "refusal"]

FORMAT = 1
TOLERANCE = 1e-6  # between two models on the same batch
ROUNDING = 1e-5  # between the same rows in other batches, or on another machine, where float32 sums add up in another order


class Output(NamedTuple):
    """What the artifact serves under `name`: a probability (`kind` binary), or a value in label units whose usual spread is `scale`."""

    name: str
    kind: str
    scale: float = 1.0


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
            rows: a pandas DataFrame, where NaN is null; an Arrow table, or what has `to_arrow()`, as in polars; or {column: list}, where None
                is null and the cells of list columns are lists. Columns that the model does not read are ignored.
            batch_size: rows scored at a time; it bounds memory only.

        Returns:
            A pandas DataFrame with one column an output, and the index of `rows` if that is one. For {column: list} it is {output: list}.

        Raises:
            DataError: naming the columns that are missing, of unequal length, or of values that their kind cannot hold.
        """
        scores = self.scores(rows, batch_size)
        if isinstance(rows, Mapping):
            return {name: values.tolist() for name, values in scores.items()}
        columns = {name: values.numpy() for name, values in scores.items()}
        if is_pandas(rows):
            return type(rows)(columns, index=rows.index)
        import pandas as pd

        return pd.DataFrame(columns)

    def scores(self, rows: Any, batch_size: int = 4096) -> dict[str, Tensor]:
        """As `predict`, but {output: float32 [B]}."""
        table = Rows(rows, self.inputs)
        # No rows are scored too, so that the outputs have their types.
        starts = range(0, table.num_rows, batch_size) if table.num_rows else [0]
        parts = [self.run(table.request(start, min(batch_size, table.num_rows - start))) for start in starts]
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

    def golden(self) -> Any:
        """The Arrow table that travels with the artifact: raw rows, and in `score:<output>` what they score.

        Raises:
            BundleError: if the file is none of ours.
            GateError: if pyarrow, which reads it, is missing.
        """
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise GateError("The golden rows are read by pyarrow, which is not there", where=self.path, do="Install pyarrow.") from error
        where = self.path / "golden.parquet"
        try:
            # Not by read_table: it would take a folder named `year=2017` above the artifact for a column.
            with pq.ParquetFile(where, page_checksum_verification=True) as file:
                return file.read()
        except (pa.ArrowException, OSError) as error:
            raise BundleError("The golden rows cannot be read", where=where, found=error, do="Export the artifact again.") from error

    def golden_check(self) -> float:
        """Score the rows that travel with the artifact again; returns the largest `difference` from the scores beside them.

        Raises:
            GateError: naming the worst row, if the difference exceeds 1e-5, or if pyarrow, which reads the rows, is missing.
        """
        golden = self.golden()
        scores = self.scores(golden)
        worst = 0.0
        for output in self.outputs:
            expected = torch.tensor(golden.column(f"score:{output.name}").to_numpy())
            apart = difference(scores[output.name], expected, output)
            row = int(apart.argmax())
            if not float(apart[row]) <= ROUNDING:
                raise GateError(
                    "The artifact does not repeat its golden scores on this machine",
                    where=f"output `{output.name}`, golden row {row}",
                    found=float(scores[output.name][row]),
                    expected=f"{float(expected[row])}, to {ROUNDING}",
                    do="Use the torch version that it was exported with, or export it again.",
                )
            worst = max(worst, float(apart[row]))
        return worst


def load_artifact(path: str | Path, expected_sha256: str | None = None, self_check: bool = False) -> Artifact:
    """Verify an artifact's files and load it, on the CPU.

    Processes forked from this one then run torch on one thread: on more of them torch would wait for ever, once its parent has computed anything.

    Args:
        expected_sha256: of its manifest.json, known from elsewhere.
        self_check: replay the golden rows; needs pyarrow.

    Raises:
        BundleError: if a file is damaged, missing or added, or the format is not known; torch has then opened nothing.
        GateError: if `self_check` fails.
    """
    bundle = Bundle.open(path, kind="artifact", manifest_sha256=expected_sha256)
    inputs, outputs = _read_signature(bundle.path / "signature.json")
    file = bundle.path / "model.pt"
    try:
        with quiet_torchscript():
            model = torch.jit.load(str(file), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        found = str(error).partition("\n")[0]
        raise BundleError("The model is no TorchScript that this torch reads", where=file, found=found, do="Export the artifact again.") from error
    _score_on_one_thread_after_a_fork()
    artifact = Artifact(bundle.path, bundle.meta, inputs, outputs, model)
    if self_check:
        artifact.golden_check()
    return artifact


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


@functools.cache  # once a process
def _score_on_one_thread_after_a_fork() -> None:
    # A fork has the parent's pool of OpenMP threads on paper, but none of the threads.
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: torch.set_num_threads(1))


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
        known = found == FORMAT and all(each.kind in KINDS for each in inputs)
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError("The signature is damaged", where=file, found=repr(error), do="Export the artifact again.") from error
    if not known:
        raise BundleError("The signature is damaged", where=file, expected=f"format {FORMAT}, kinds {', '.join(KINDS)}")
    return inputs, outputs
