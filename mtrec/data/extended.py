"""A log with further columns, which lie in a Parquet file in the order of its rows."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mtrec.data.log import LogFiles
from mtrec.errors import DataError

__all__ = ["ExtendedLog"]


class ExtendedLog:
    """The slices of a log, each row with its own row of a file beside.

    Args:
        log: the rows.
        beside: a Parquet file with one row for each row of the log, in its order.
        names: the columns of that file that are added.
    """

    def __init__(self, log: LogFiles, beside: Path, names: Sequence[str]) -> None:
        self.log, self.files, self._beside, self._names = log, log.files, beside, list(names)

    @property
    def schema(self) -> pa.Schema:
        with pq.ParquetFile(self._beside) as file:
            added = file.schema_arrow
        return pa.schema([*self.log.schema, *(added.field(name) for name in self._names)])

    def digest(self) -> str:
        """SHA-256 over the bytes of the log."""
        return self.log.digest()

    def slices(self, rows: int | None = None) -> Iterator[pa.Table]:
        """Tables of at most `rows` rows.

        Raises:
            DataError: if log and file do not have equally many rows.
        """
        with pq.ParquetFile(self._beside, page_checksum_verification=True) as file:
            batches = file.iter_batches(columns=self._names)
            waiting = pa.Table.from_batches([], schema=pa.schema([file.schema_arrow.field(name) for name in self._names]))
            for table in self.log.slices(rows):
                while waiting.num_rows < table.num_rows:
                    batch = next(batches, None)
                    if batch is None:
                        raise self._unequal()
                    waiting = pa.concat_tables([waiting, pa.Table.from_batches([batch])])
                for name in self._names:
                    table = table.append_column(waiting.schema.field(name), waiting[name].slice(0, table.num_rows))
                waiting = waiting.slice(table.num_rows)
                yield table
            if waiting.num_rows or any(batch.num_rows for batch in batches):
                raise self._unequal()

    def _unequal(self) -> DataError:
        do = "The log has changed since: run prepare again."
        return DataError("A log and its added columns differ in their number of rows", where=self._beside, do=do)
