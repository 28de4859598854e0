"""The added columns of a range of rows, from the results of all units."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.history.plan import HistoryPlan
from mtrec.history.timeline import spread
from mtrec.history.units import Unit, added_columns
from mtrec.history.values import FRACTION
from mtrec.sections import Counters, History

__all__ = ["assemble"]

Floats = NDArray[np.float64]


def assemble(plan: HistoryPlan, num_rows: int, results: dict[int, pa.Table]) -> pa.Table:
    """The added columns of rows 0 to num_rows in their order; a row that a unit gave nothing for has null counts and an empty history.

    Args:
        results: by the index of their unit; tables as of `Result.take`, in any order of `row`.
    """
    found: dict[str, pa.Array] = {}
    priors: dict[str, Floats] = {}
    for unit in plan.overall:
        assert isinstance(unit.entry, Counters)
        for label in unit.entry.of:
            name = f"{unit.prefix}.{label}.prior"
            priors[name] = _placed(results[unit.index], name, num_rows) if unit.index in results else np.full(num_rows, np.nan)
    for unit in plan.units:
        table = results.get(unit.index)
        if isinstance(unit.entry, History):
            found |= _lists(plan, unit, num_rows, table)
        elif unit.key:
            found |= _counts(plan, unit, num_rows, table, priors)
    return pa.table({name: found[name] for name in plan.columns.names}, schema=plan.columns)


def _counts(plan: HistoryPlan, unit: Unit, num_rows: int, table: pa.Table | None, priors: dict[str, Floats]) -> dict[str, pa.Array]:
    entry = unit.entry
    assert isinstance(entry, Counters)
    if table is None:
        return {field.name: pa.nulls(num_rows, pa.float64()) for field in added_columns(unit, plan.kinds)}
    found: dict[str, Floats] = {}
    for window in [*entry.windows, *(["decay"] if entry.half_life else [])]:
        prefix = f"{unit.prefix}.{window}"
        found[f"{prefix}.events"] = _placed(table, f"{prefix}.events", num_rows)
        for label in entry.of:
            total = _placed(table, f"{prefix}.sum.{label}", num_rows)
            total = total * FRACTION if plan.kinds[label] == "number" else total
            found[f"{prefix}.{label}"] = total
            if entry.rates:
                known = _known(table, f"{prefix}.known.{label}", found[f"{prefix}.events"])
                found[f"{prefix}.{label}.rate"] = _rate(total, known, priors[f"{unit.name}.{label}.prior"], entry)
    for name in ("days_since_last", "days_since_first", "mean_gap") if entry.recency else ():
        found[f"{unit.prefix}.{name}"] = _placed(table, f"{unit.prefix}.{name}", num_rows)
    return {name: pa.array(values, from_pandas=True) for name, values in found.items()}


def _known(table: pa.Table, name: str, events: Floats) -> Floats:
    """How many events know a label: parts of the log where all do have left it out."""
    if name not in table.column_names:
        return events
    known = _placed(table, name, len(events))
    return np.where(np.isnan(known), events, known)


def _rate(total: Floats, known: Floats, prior: Floats, entry: Counters) -> Floats:
    smoothing = entry.smoothing
    # What is drawn towards nothing hangs on no mean; and a centred rate is exactly 0 where nothing is known of the key.
    moved = smoothing * prior if smoothing and not entry.centred else 0.0
    drawn = total - known * prior if entry.centred else total + moved
    rate: Floats = np.divide(drawn, known + smoothing, out=np.full(len(total), np.nan), where=known + smoothing > 0)
    return rate


def _placed(table: pa.Table, name: str, num_rows: int) -> Floats:
    """A column in the order of rows, NaN where there is none. [num_rows]"""
    found = np.full(num_rows, np.nan)
    found[table.column("row").to_numpy()] = table.column(name).to_numpy()
    return found


def _lists(plan: HistoryPlan, unit: Unit, num_rows: int, table: pa.Table | None) -> dict[str, pa.Array]:
    fields = added_columns(unit, plan.kinds)
    table = pa.schema([("row", pa.int64()), *fields]).empty_table() if table is None else table
    found = {}
    for name in (field.name for field in fields):
        column = table.column(name)
        lists = column.chunk(0) if column.num_chunks else pa.array([], column.type)
        offsets = lists.offsets.to_numpy().astype(np.int64)
        starts, lengths = (np.zeros(num_rows, dtype=np.int64) for _ in range(2))
        rows = table.column("row").to_numpy()
        starts[rows], lengths[rows] = offsets[:-1], np.diff(offsets)
        values = pc.take(lists.values, pa.array(spread(starts, lengths)), boundscheck=False)
        found[name] = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)), values)
    return found
