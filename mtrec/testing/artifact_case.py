"""An artifact opened for checks, with the rows that travel with it."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from mtrec.request import Request, Rows
from mtrec.serving import ROUNDING, Artifact, difference, load_artifact

__all__ = ["ArtifactCase", "Check", "open_case"]


class ArtifactCase(NamedTuple):
    """An artifact, and its golden rows: at least 8 of them, the given ones again and again where there are fewer."""

    artifact: Artifact
    rows: pa.Table

    def request(self, rows: pa.Table) -> Request:
        return Rows(rows, self.artifact.inputs).request()

    def scores(self, rows: pa.Table) -> dict[str, Tensor]:
        """What the script itself gives, in one batch."""
        scores: dict[str, Tensor] = self.artifact.model(*self.request(rows))
        return scores

    def assert_sound(self, scores: dict[str, Tensor], num_rows: int, what: str) -> None:
        """Every output is there, of one finite number a row, and probabilities lie in [0, 1]."""
        assert list(scores) == [output.name for output in self.artifact.outputs], f"{what}: outputs {list(scores)}"
        for output in self.artifact.outputs:
            values = scores[output.name]
            assert values.shape == (num_rows,), f"{what}: `{output.name}` has shape {tuple(values.shape)} for {num_rows} rows"
            assert values.isfinite().all(), f"{what}: `{output.name}` is not finite"
            if output.kind == "binary":
                assert ((values >= 0) & (values <= 1)).all(), f"{what}: `{output.name}` lies outside of [0, 1]"

    def assert_close(self, found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> None:
        """The same scores but for the rounding of float32."""
        for output in self.artifact.outputs:
            apart = difference(found[output.name], expected[output.name], output)
            row = int(apart.argmax())
            both = f"{float(found[output.name][row])!r} and {float(expected[output.name][row])!r}"
            assert float(apart[row]) <= ROUNDING, f"{what}: `{output.name}` of row {row} is {both}"


Check = Callable[[ArtifactCase], None]


def open_case(path: str | Path) -> ArtifactCase:
    """Verify, load, and read the golden rows."""
    artifact = load_artifact(path)
    golden = artifact.golden()
    rows = golden.select([name for name in golden.schema.names if not name.startswith("score:")])
    return ArtifactCase(artifact, rows.take(pa.array(torch.arange(max(8, len(rows))).remainder(len(rows)).tolist())))
