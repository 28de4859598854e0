"""How far the inputs and labels of valid and test lie from those of train.

Population stability index over K bins, with p the shares of train and q those of the other split:

    PSI = sum_k (q_k - p_k) ln(q_k / p_k)        p_k = (count_k + 1/2) / (n + K/2)

Numbers have 10 bins of equal count in train, and one for null; ids have the 20 most frequent values of train, the rest, and null. Bins that
are empty in both do not count. Two samples of n and m rows of one distribution have a PSI of about (K - 1) (1/n + 1/m): what lies below three
times that is chance.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrec.inspection.finding import FEW, Finding
from mtrec.inspection.gather import Gathered

__all__ = ["Stability", "drift_of_inputs", "drift_of_labels", "psi", "stability_of_ids", "stability_of_numbers"]

MOVED, MOVED_FAR = 0.1, 0.25
NUM_BINS, NUM_VALUES = 10, 20


class Stability(NamedTuple):
    """Attributes: psi, 0 for equal shares; chance, what samples of these sizes reach by chance."""

    psi: float
    chance: float


def psi(train: NDArray[np.int64], other: NDArray[np.int64]) -> Stability:
    """The index of two rows of counts, [K] each."""
    used = (train > 0) | (other > 0)
    train, other = train[used], other[used]
    if train.sum() == 0 or other.sum() == 0:
        return Stability(0.0, 0.0)
    p = (train + 0.5) / (train.sum() + 0.5 * len(train))
    q = (other + 0.5) / (other.sum() + 0.5 * len(other))
    return Stability(float(((q - p) * np.log(q / p)).sum()), 3 * (len(train) - 1) * float(1 / train.sum() + 1 / other.sum()))


def stability_of_numbers(train: NDArray[np.float64], other: NDArray[np.float64]) -> Stability:
    """Of two columns of numbers, NaN where null."""
    known = train[~np.isnan(train)]
    edges = np.unique(np.quantile(known, np.arange(1, NUM_BINS) / NUM_BINS)) if len(known) else np.empty(0)

    def counts(values: NDArray[np.float64]) -> NDArray[np.int64]:
        null = np.isnan(values)
        bins = np.searchsorted(edges, values[~null], side="right")
        return np.append(np.bincount(bins, minlength=len(edges) + 1), null.sum())

    return psi(counts(train), counts(other))


def stability_of_ids(train: NDArray[np.int64], other: NDArray[np.int64]) -> Stability:
    """Of two columns of hashes, 0 where null."""
    values, frequency = np.unique(train[train != 0], return_counts=True)
    top = np.sort(values[np.argsort(-frequency, kind="stable")[:NUM_VALUES]])

    def counts(column: NDArray[np.int64]) -> NDArray[np.int64]:
        known = column[column != 0]
        place = np.minimum(np.searchsorted(top, known), max(len(top) - 1, 0))
        place = np.where(top[place] == known, place, len(top)) if len(top) else np.zeros(len(known), dtype=np.int64)
        return np.append(np.bincount(place, minlength=len(top) + 1), len(column) - len(known))

    return psi(counts(train), counts(other))


def drift_of_inputs(gathered: Gathered) -> tuple[dict[str, dict[str, float]], list[Finding]]:
    """The index of each input in valid and test, of the length of a list, and those that moved."""
    train = gathered.rows["train"]
    table: dict[str, dict[str, float]] = {}
    found: list[Finding] = []
    for split in ("valid", "test"):
        rows = gathered.rows[split]
        if rows.num_rows < FEW:
            continue
        all_of = {name: stability_of_numbers(values, rows.counted[name]) for name, values in train.counted.items()}
        all_of |= {name: stability_of_ids(values, rows.ids[name]) for name, values in train.ids.items()}
        for name, (index, chance) in all_of.items():
            table.setdefault(name, {})[split] = index
            if index >= MOVED and index > chance:
                how = "far from" if index >= MOVED_FAR else "away from"
                found.append(Finding("warning", name, f"In {split} it has moved {how} train: PSI {index:.2f}.", {"psi": index}))
    return table, found


def drift_of_labels(gathered: Gathered, binary: set[str]) -> list[Finding]:
    """Labels whose rate has changed by a tenth or more of that in train, or whose mean by a tenth of the deviation, beyond 3 standard errors."""
    found = []
    for task in gathered.rates.tasks:
        train = gathered.rates.label(task, "train")
        for split in ("valid", "test"):
            other = gathered.rates.label(task, split)
            scale = train.mean if task in binary else train.deviation
            if not (train.known >= FEW and other.known >= FEW and scale > 0):
                continue
            error = (train.deviation**2 / train.known + other.deviation**2 / other.known) ** 0.5
            change = (other.mean - train.mean) / scale
            if abs(change) >= MOVED and abs(other.mean - train.mean) > 3 * error:
                how = "far from" if abs(change) >= MOVED_FAR else "away from"
                unit = "of the rate" if task in binary else "of a deviation"
                sentence = f"In {split} its mean is {other.mean:.4g}, {how} the {train.mean:.4g} of train: {change:+.0%} {unit}."
                found.append(Finding("warning", f"tasks.{task}", sentence, {"change": change, "mean": other.mean, "train": train.mean}))
    return found
