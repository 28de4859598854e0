"""The rows of a log or of a file of events as records: all that histories and counters read of them, in few types.

Columns of a record: `row` its place in the log, -1 for what is an event only; `source` its number, -1 for rows that only ask; `time`, an instant;
then, as the units name them, `v.<column>` keys and kept values, `w.<column>` whether it is 1, `y.<column>` labels.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from mtrec.errors import DataError
from mtrec.history.plan import HistoryPlan
from mtrec.history.times import instants
from mtrec.history.units import Unit
from mtrec.history.values import ARROW, as_kind, as_label, is_one

__all__ = ["columns_of", "read_records", "schema_of"]

_TYPES = {"w": pa.bool_(), "y": pa.int64()}


def columns_of(units: Iterable[Unit]) -> list[str]:
    """The columns of records that these units read."""
    names = [name for unit in units for name in [*(f"v.{column}" for column in unit.key), *unit.names]]
    return ["row", "source", "time", *dict.fromkeys(names)]


def schema_of(plan: HistoryPlan, names: Iterable[str]) -> pa.Schema:
    """The types of such columns."""
    fixed = {"row": pa.int64(), "source": pa.int8(), "time": pa.int64()}
    return pa.schema([(name, fixed.get(name) or _TYPES.get(name[0]) or ARROW[plan.kinds[name[2:]]]) for name in names])


def read_records(plan: HistoryPlan, source: int, table: pa.Table, first: int | None, only_keys: bool = False) -> pa.Table:
    """Records of a table of a source.

    Args:
        first: the place of the table's first row in the log; None where its rows are events only.
        only_keys: whether the rows ask without being events: labels and kept values are then not read.

    Raises:
        DataError: naming the source and column that cannot be read.
    """
    name, num_rows = plan.sources[source], table.num_rows
    if plan.clock not in table.column_names:
        raise DataError(f"The rows lack the time, column {plan.clock!r}", where=name)
    found: dict[str, pa.Array] = {
        "row": np.full(num_rows, -1) if first is None else np.arange(first, first + num_rows),
        "source": np.full(num_rows, -1 if only_keys else source, dtype=np.int8),
        "time": instants(_whole(table, plan.clock), plan.time, f"{name}, column {plan.clock!r}"),
    }
    keys = {f"v.{column}" for unit in plan.units for column in unit.key}
    schema = schema_of(plan, columns_of(plan.units))
    for column in schema.names[3:]:
        role, raw = column[0], column[2:]
        if raw not in table.column_names or (only_keys and column not in keys):
            found[column] = pa.nulls(num_rows, schema.field(column).type)
            continue
        where, values, kind = f"{name}, column {raw!r}", _whole(table, raw), plan.kinds[raw]
        read = {"v": as_kind, "w": is_one, "y": as_label}[role]
        found[column] = read(values, kind, where)
    return pa.table(found, schema=schema)


def _whole(table: pa.Table, name: str) -> pa.Array:
    chunks = table.column(name).chunks
    return pa.concat_arrays(chunks) if chunks else pa.array([], table.schema.field(name).type)
