"""Exact counts over all rows of a log: rows, times, labels and missing values of each split."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mtrec.data.split import SPLITS
from mtrec.inspection.finding import Finding
from mtrec.inspection.rows import Rows

__all__ = ["LabelFacts", "Rates", "findings_of_rates", "readable"]


class LabelFacts(NamedTuple):
    """A label in one split: known, rows that know it; mean and deviation over these, the rate of a binary label; NaN where none knows it."""

    known: int
    mean: float
    deviation: float


class Rates:
    """Running counts.

    Attributes:
        rows: by split.
        times: by split, the first and the last time as they are stored; absent without rows or times.
        missing: by input column and split, the rows without a value: null, NaN, infinite, or an empty list.
        infinite: by column, how many infinite numbers it has.
    """

    def __init__(self) -> None:
        self.rows = dict.fromkeys(SPLITS, 0)
        self.times: dict[str, tuple[float, float]] = {}
        self.missing: dict[str, dict[str, int]] = {}
        self.infinite: dict[str, int] = {}
        self._sums: dict[tuple[str, str], NDArray[np.float64]] = {}

    def add(self, rows: Rows, splits: NDArray[np.int64]) -> None:
        for name, values in rows.numbers.items():
            self.infinite[name] = self.infinite.get(name, 0) + int(np.isinf(values).sum())
        absent: dict[str, NDArray[np.bool_]] = {name: ~np.isfinite(values) for name, values in rows.numbers.items()}
        absent |= {name: values == 0 for part in (rows.ids, rows.lengths) for name, values in part.items()}
        for code, split in enumerate(SPLITS):
            chosen = splits == code
            self.rows[split] += int(chosen.sum())
            for name, flags in absent.items():
                counts = self.missing.setdefault(name, dict.fromkeys(SPLITS, 0))
                counts[split] += int((flags & chosen).sum())
            for task, labels in rows.labels.items():
                known = labels[chosen & ~np.isnan(labels)]
                sums = np.array([len(known), known.sum(), (known * known).sum()])
                self._sums[task, split] = self._sums.get((task, split), np.zeros(3)) + sums
            if "time" in rows.roles:
                self._add_times(split, rows.roles["time"][chosen])

    def _add_times(self, split: str, times: NDArray[Any]) -> None:
        known = times[np.isfinite(times)]
        if len(known):
            first, last = self.times.get(split, (np.inf, -np.inf))
            self.times[split] = (min(first, float(known.min())), max(last, float(known.max())))

    def label(self, task: str, split: str) -> LabelFacts:
        known, total, squares = self._sums[task, split].tolist()
        if not known:
            return LabelFacts(0, float("nan"), float("nan"))
        return LabelFacts(int(known), total / known, max(squares / known - (total / known) ** 2, 0.0) ** 0.5)

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(task for task, _ in self._sums))


def findings_of_rates(rates: Rates, binary: set[str]) -> list[Finding]:
    """Splits without rows, labels that teach or judge nothing, inputs without a value in train, infinite numbers."""
    found = [Finding("warning", split, "No row falls into this split.", {}) for split in SPLITS if not rates.rows[split]]
    for task in rates.tasks:
        for split in SPLITS:
            label = rates.label(task, split)
            where = f"tasks.{task}, {split}"
            figures = {"known": float(label.known), "mean": label.mean}
            if rates.rows[split] and not label.known:
                found.append(Finding("warning", where, "No row knows this label.", {"known": 0.0}))
            elif rates.rows[split] and task in binary and label.mean in (0.0, 1.0):
                found.append(Finding("warning", where, f"The label is {label.mean:.0f} in all {label.known:,} rows that know it.", figures))
    for name, counts in rates.missing.items():
        if counts["train"] == rates.rows["train"]:
            found.append(Finding("warning", name, "No train row has a value: it cannot be fitted.", {"missing": 1.0}))
        if rates.infinite.get(name):
            number = rates.infinite[name]
            found.append(Finding("warning", name, f"{number:,} infinite numbers, which prepare refuses.", {"infinite": float(number)}))
    return found


def readable(instant: float, kind: pa.DataType) -> str:
    """A stored time as text: a date or timestamp as such, a number as a number."""
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        return f"{instant:.15g}"
    stored = pa.array([int(instant)], pa.int32() if pa.types.is_date32(kind) else pa.int64())
    return str(pc.strftime(stored.cast(kind), format="%Y-%m-%d %H:%M" if pa.types.is_timestamp(kind) else "%Y-%m-%d")[0])
