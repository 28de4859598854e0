"""A prepared log on disk, opened: what its rows hold and the readers of its splits."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from mtrec.data.followers import NAME as FOLLOWERS
from mtrec.data.reader import Reader, opened
from mtrec.errors import DataError
from mtrec.store import Bundle
from mtrec.types import IdField

__all__ = ["KIND", "Prepared"]

KIND = "prepared"


class Prepared:
    """A prepared bundle whose files have been checked against its manifest.

    Attributes:
        fields: the id features, in the order of the batches.
        many: for each id feature, whether a row may hold several values.
        num_numbers: N, width of the numbers.
        num_vectors: V, how many vector features follow the id features in the batches.
        rows: number of rows of each split.
        facts: known rows, mean and deviation of each task's label by split, in the log that the features were fitted to; labels are standardised by
            them.
        own_facts: known rows and mean (None where it cannot be told) of the rows that are here: the same, but for rows taken from another log.
        sampling: which share of the train rows is there, as `Facts` has it; None where all are.
        types: the type of each column that was read.
        kept: the raw columns that are stored for valid and test.
        digest: SHA-256 of the log.
        history: the directory with the state of the declared histories and counters; None where none are declared.
    """

    def __init__(self, path: str | Path) -> None:
        bundle = Bundle.open(path, KIND)
        meta: dict[str, Any] = bundle.meta
        self.path = bundle.path
        self.fields = [IdField(*field) for field in meta["fields"]]
        self.many: list[bool] = meta["many"][: len(self.fields)]
        self.num_vectors = len(meta["many"]) - len(self.fields)
        self.number_names: list[str] = meta["number_names"]
        self.num_numbers = len(self.number_names)
        self.rows: dict[str, int] = meta["rows"]
        self.facts: dict[str, dict[str, dict[str, float]]] = meta["tasks"]
        self.is_part = "own_tasks" in meta  # Some rows of a log that was prepared whole.
        self.own_facts: dict[str, dict[str, dict[str, Any]]] = meta.get("own_tasks", self.facts)
        self.sampling: dict[str, Any] | None = meta["sampling"]
        self.types: dict[str, str] = dict(meta["types"])  # Pairs: globs take columns in the order of the log.
        self.kept: list[str] = meta["kept"]
        self.digest: str = meta["digest"]
        self.history = self.path.parent / meta["history"] / "state" if meta["history"] else None

    def reader(self, split: str, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> Reader:
        """Batches of a split; none where it has no rows."""
        if split not in self.rows:
            raise DataError("There is no such split", where=self.path, found=split, expected=list(self.rows))
        return Reader(self.path / f"{split}.parquet", batch_size, seed, rank, world_size)

    def followers(self, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> Reader:
        """For each batch of train with the same arguments, the rows that come next in their sessions; `FILLER` rows where a session ends.

        Raises:
            DataError: if the bundle was prepared without them.
        """
        path = self.path / f"{FOLLOWERS}.parquet"
        if not path.is_file():
            raise DataError("The sessions of the log were not prepared", where=self.path, do="Run prepare with the configuration of the run.")
        return Reader(path, batch_size, seed, rank, world_size)

    def columns(self, split: str) -> pa.Table | None:
        """The raw columns `kept` of the judged rows of a split, row for row as its reader gives them in order; None for train, and without rows."""
        path = self.path / f"{split}.columns.parquet"
        return self._read(path) if path.is_file() else None

    def row_groups(self, split: str) -> Iterator[pa.Table]:
        """The prepared rows of a split as they lie in its file, a row group at a time; nothing where it has no rows."""
        path = self.path / f"{split}.parquet"
        if path.is_file():
            with opened(path) as file:
                yield from (file.read_row_group(group) for group in range(file.num_row_groups))

    def sample(self) -> pa.Table:
        """Held-out rows as they stood in the log."""
        return self._read(self.path / "sample.parquet")

    def _read(self, where: Path) -> pa.Table:
        with opened(where) as file:  # Not by read_table: it would take a folder named `year=2017` above the bundle for a column.
            return file.read()
