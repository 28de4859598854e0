"""A small table whose columns are added to each row of a log that has its key."""

import polars as pl
import pyarrow as pa

from mtrec.data.files import find_files, naming, read_table
from mtrec.errors import DataError
from mtrec.hash64 import is_text
from mtrec.schema import Join

__all__ = ["Joined", "key_type"]


def key_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type by which keys are compared: whole numbers of all widths are one, and so is text, dictionary-encoded or not."""
    if pa.types.is_integer(arrow_type):
        return pa.int64()
    return pa.large_string() if is_text(arrow_type) else arrow_type


class Joined:
    """The table of a join, held in memory.

    Attributes:
        keys: by name, the type of each key.
        types: by name, the type of each column that it can add.

    Raises:
        DataError: if a file cannot be read or differs in its columns from the first, or the key is missing or not unique.
    """

    def __init__(self, join: Join) -> None:
        self.on = list(join.on)
        self.files = find_files(join.source)
        tables = [read_table(file) for file in self.files]
        for file, table in zip(self.files, tables, strict=True):
            if table.schema != tables[0].schema:
                found, expected = (", ".join(f"{field.name} {field.type}" for field in each.schema) for each in (table, tables[0]))
                raise DataError("The files of a join differ in their columns", where=file, found=found, expected=expected)
        self._table = pa.concat_tables(tables).combine_chunks()
        names = self._table.column_names
        wrong = [name for name in self.on if names.count(name) != 1]
        if wrong:
            raise DataError("A join lacks its key, or has it twice", where=join.source, found=names, expected=wrong)
        self.keys = {name: key_type(self._table.schema.field(name).type) for name in self.on}
        self.types = {field.name: field.type for field in self._table.schema if field.name not in self.on and names.count(field.name) == 1}
        with naming(join.source):
            keys = self._keys(self._table)
        num_twice = int(keys.is_duplicated().sum())
        if num_twice:
            raise DataError("The key of a join is not unique", where=join.source, found=f"{num_twice} rows whose {', '.join(self.on)} occurs again")
        self._places = keys.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("place"))

    def add(self, rows: pa.Table, names: list[str]) -> pa.Table:
        """The rows with the columns `names` of the row of their key; null where there is none."""
        on = [f"key {index}" for index in range(len(self.on))]
        places = self._keys(rows).join(self._places, on=on, how="left", maintain_order="left")["place"].to_arrow()
        added = self._table.select(names).take(places)
        for name in names:
            rows = rows.append_column(name, added[name])
        return rows

    def _keys(self, table: pa.Table) -> pl.DataFrame:
        return pl.DataFrame({f"key {index}": pl.from_arrow(table[name].cast(self.keys[name])) for index, name in enumerate(self.on)})
