"""`mtrec predict`: raw rows in, keys and one column an output out; by a run or by an artifact, in slices."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.errors import DataError
from mtrec.jobs.export import HISTORY
from mtrec.jobs.load import load_run
from mtrec.jobs.raw_rows import requests
from mtrec.serving import load_artifact
from mtrec.store import Bundle, atomic_file
from mtrec.training.scoring import score_table

__all__ = ["predict"]


def predict(model: str | Path, source: str, out: str | Path, progress: Callable[[int], None] = lambda rows: None) -> int:
    """Score the rows of files and write a Parquet file; returns the number of rows.

    Args:
        model: the directory of a run, or of an artifact.

    Raises:
        DataError: if a column is missing, or no row is there.
    """
    slices = _by_artifact(Path(model), source) if Bundle.is_complete(model) else _by_run(model, source)
    num_rows = 0
    with atomic_file(out) as aside:
        writer: pq.ParquetWriter | None = None
        for table in slices:
            writer = writer or pq.ParquetWriter(aside, table.schema, write_page_checksum=True)
            writer.write_table(table)
            num_rows += table.num_rows
            progress(table.num_rows)
        if writer is None:
            raise DataError("There are no rows to score", where=source)
        writer.close()
    return num_rows


def _by_artifact(path: Path, source: str) -> Iterator[pa.Table]:
    artifact = load_artifact(path)
    keys = list(artifact.meta["keys"])
    state = path / HISTORY if (path / HISTORY).is_dir() else None
    for table in requests(source, list(dict.fromkeys([*(each.column for each in artifact.inputs), *keys])), (), state):
        scores = artifact.scores(table)
        yield pa.table({**{key: table[key] for key in keys}, **{name: values.numpy() for name, values in scores.items()}})


def _by_run(path: str | Path, source: str) -> Iterator[pa.Table]:
    loaded = load_run(path)
    keys = loaded.config.log.roles.keys
    needed = list(dict.fromkeys([*loaded.features.input_columns, *keys]))
    for table in requests(source, needed, loaded.config.log.join, loaded.prepared.history):
        scores = loaded.model.outputs(score_table(loaded.model, loaded.features, table))
        yield pa.table({**{key: table[key] for key in keys}, **{name: values.numpy() for name, values in scores.items()}})
