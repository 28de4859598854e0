"""The gate before an artifact is committed: it scores as its eager twin, bitwise, and as the model that was trained, to 1e-6."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from mtrec.errors import GateError
from mtrec.export.adversarial import hard_variants
from mtrec.request import Input, Request, Rows
from mtrec.serving import TOLERANCE, Output, difference

__all__ = ["Reference", "check_parity"]

Reference = Callable[[pa.Table], Mapping[str, np.ndarray]]

# Rows that go through batches of each size: small batches cost more a row.
ROWS_BY_BATCH_SIZE = {1: 12, 7: 70, 256: 1 << 62}
NUM_CALLS = 4  # from the second or third call on, TorchScript runs another, optimised program


class _Place(NamedTuple):
    """Where a batch comes from, for messages."""

    variant: str
    rows: pa.Table
    start: int
    keys: Sequence[str]

    def of(self, output: str, row: int) -> str:
        index = self.start + row
        names = ", ".join(f"{key}={self.rows.column(key)[index].as_py()!r}" for key in self.keys)
        return f"output `{output}`, row {index} of the {self.variant} rows" + (f", {names}" if names else "")


def check_parity(
    script: Any, twin: nn.Module, rows: pa.Table, reference: Reference, inputs: list[Input], outputs: list[Output], keys: Sequence[str] = ()
) -> dict[str, float]:
    """Hold the script to its eager twin and to the trained model, on the rows and hard variants of them.

    Args:
        script: what was saved, loaded again.
        twin: the same modules, not scripted.
        rows: raw rows that were not trained on.
        reference: scores of the trained model on raw rows, {output: [rows]}; it is called with the batches that the script is.
        keys: columns that name a row in messages.

    Returns:
        The largest difference from the trained model, by output, as `mtrec.serving.difference` measures it.

    Raises:
        GateError: naming the worst row and output with both scores.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # threads change no score, and small batches only wait for them
    try:
        differences = _differences(script, twin, rows, reference, inputs, outputs, keys)
        _check_modes(script, twin, rows, inputs, keys)
    finally:
        torch.set_num_threads(num_threads)
    return differences


def _differences(
    script: Any, twin: nn.Module, rows: pa.Table, reference: Reference, inputs: list[Input], outputs: list[Output], keys: Sequence[str]
) -> dict[str, float]:
    largest = {output.name: 0.0 for output in outputs}
    for variant, table in hard_variants(rows, inputs):
        raw = Rows(table, inputs)
        for batch_size, limit in ROWS_BY_BATCH_SIZE.items():
            for start in range(0, min(len(table), limit), batch_size):
                place = _Place(variant, table, start, keys)
                scores = _bitwise(script, twin, raw.request(start, min(batch_size, len(table) - start)), place)
                # In the same batches: float32 rounds the same row differently in batches of other sizes, beyond 1e-6 in deep models.
                expected = _expected(reference, table.slice(start, batch_size), outputs, variant)
                for output in outputs:
                    apart = _compare(scores[output.name], expected[output.name], output, place)
                    largest[output.name] = max(largest[output.name], apart)
    return largest


def _expected(reference: Reference, table: pa.Table, outputs: list[Output], variant: str) -> dict[str, Tensor]:
    scores = {name: torch.tensor(np.asarray(values)) for name, values in reference(table).items()}
    wanted = {output.name: (len(table),) for output in outputs}
    found = {name: tuple(values.shape) for name, values in scores.items()}
    if found != wanted:
        raise GateError("The trained model serves something else than the artifact", where=f"{variant} rows", found=found, expected=wanted)
    return scores


def _bitwise(script: Any, twin: nn.Module, request: Request, place: _Place) -> dict[str, Tensor]:
    found, expected = script(*request), twin(*request)
    if list(found) != list(expected):
        raise GateError("The script has other outputs than the model that it was made of", found=list(found), expected=list(expected))
    for name, values in expected.items():
        if not torch.equal(found[name], values):
            row = int((found[name] != values).int().argmax()) if found[name].shape == values.shape else 0
            raise GateError(
                "The script differs from the model that it was made of",
                where=place.of(name, row) if len(values) else f"output `{name}`, no rows",
                found=found[name][row : row + 1].tolist(),
                expected=f"{values[row : row + 1].tolist()}, bitwise",
                do="A part of the model computes something else as a script: report it to whoever wrote the part.",
            )
    return dict(found)


def _compare(found: Tensor, expected: Tensor, output: Output, place: _Place) -> float:
    apart = difference(found, expected, output)
    row = int(apart.argmax())
    worst, score = float(apart[row]), float(found[row])
    within = output.kind != "binary" or bool(((found >= 0) & (found <= 1)).all())
    if not (worst <= TOLERANCE and within):
        raise GateError(
            "The artifact does not score as the trained model does" if within else "A probability lies outside of [0, 1]",
            where=place.of(output.name, row),
            found=f"{score!r} from the artifact, {float(expected[row])!r} from the trained model",
            expected=f"a difference of at most {TOLERANCE * max(1.0, output.scale, abs(float(expected[row]))):.1e}",
            do="Nothing was written. Export the very checkpoint that the reference scores come from.",
        )
    return worst


def _check_modes(script: Any, twin: nn.Module, rows: pa.Table, inputs: list[Input], keys: Sequence[str]) -> None:
    """Each mode again and again, with and without rows, in an order that meets every change of mode."""
    for num_rows in (7, 0, 1):
        place = _Place("given", rows, 0, keys)
        request = Rows(rows.slice(0, num_rows), inputs).request()
        for mode in _modes():
            for _ in range(NUM_CALLS):
                with mode():
                    _bitwise(script, twin, request, place)


def _modes() -> Iterator[Callable[[], AbstractContextManager[Any]]]:
    grad, no_grad, inference = torch.enable_grad, torch.no_grad, torch.inference_mode
    yield from (grad, no_grad, inference, grad, inference, no_grad, grad)
