"""Inputs that by themselves tell a label: each is an outcome, or was made from one."""

import re
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from mtrec.data.guess import OUTCOMES
from mtrec.evaluation.metrics.auc import auc
from mtrec.inspection.finding import FEW, Finding
from mtrec.inspection.rows import Rows

__all__ = ["correlation", "inputs_that_equal_a_label", "inputs_that_tell_a_label", "ranks"]

TELLING_AUC = 0.999
EQUAL = 0.999
NEARLY_EQUAL = 0.9  # enough where the name of the column speaks of an outcome
PRIOR_ROWS = 1.0  # An id's mean label is drawn towards the mean of all as if so many more rows had that.


def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 1, ties sharing their mean; 0 where NaN."""
    found: NDArray[np.float64] = pl.Series(values).fill_nan(None).rank("average").fill_null(0.0).to_numpy()
    return found


def correlation(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Pearson's correlation; 0 where either is constant."""
    if len(one) < 2:
        return 0.0
    one, other = one - one.mean(), other - other.mean()
    norms = float(np.sqrt((one * one).sum() * (other * other).sum()))
    return float((one * other).sum()) / norms if norms > 0 else 0.0


def inputs_that_tell_a_label(train: Rows, judged: Rows, binary: set[str]) -> Iterator[Finding]:
    """Inputs whose AUC against a binary label lies above .999 or below .001.

    Numbers and lengths of lists are judged in train, with null as the lowest value, and among known values alone. Ids are judged by the mean
    label that their value has in train, on other rows.
    """
    ordered = {name: ranks(values) for name, values in train.counted.items()}
    for task in sorted(binary):
        labels = train.labels[task]
        for name, rank in ordered.items():
            known = ~np.isnan(labels)
            aucs = [_auc(rank[rows], labels[rows]) for rows in (known, known & (rank > 0))]
            yield from _told(name, task, max(aucs, key=lambda each: abs(each - 0.5)))
        for name, values in train.ids.items():
            scores = _means_of_train(values, labels, judged.ids[name])
            known = ~np.isnan(judged.labels[task])
            yield from _told(name, task, _auc(scores[known], judged.labels[task][known]))


def _told(name: str, task: str, value: float) -> Iterator[Finding]:
    if not 1 - TELLING_AUC <= value <= TELLING_AUC:
        sentence = f"By itself it tells the label of {task!r} (AUC {value:.4f}), as only an outcome can. Leave it out."
        yield Finding("leak", name, sentence, {"auc": value})


def _auc(scores: NDArray[np.float64], labels: NDArray[np.float64]) -> float:
    """.5 where there are few rows of either class."""
    num_positives = int(labels.sum())
    if min(num_positives, len(labels) - num_positives) < FEW:
        return 0.5
    value = auc(scores.astype(np.float32), labels).value  # Ranks of a sample and means of labels need no more.
    return 0.5 if value is None else value


def _means_of_train(train: NDArray[np.int64], labels: NDArray[np.float64], judged: NDArray[np.int64]) -> NDArray[np.float64]:
    known = ~np.isnan(labels)
    if not known.any():
        return np.zeros(len(judged))
    mean = float(labels[known].mean())
    values, place = np.unique(train[known], return_inverse=True)
    counts, sums = np.bincount(place), np.bincount(place, weights=labels[known])
    means = (sums + PRIOR_ROWS * mean) / (counts + PRIOR_ROWS)
    at = np.minimum(np.searchsorted(values, judged), len(values) - 1)
    return np.where(values[at] == judged, means[at], mean)


def inputs_that_equal_a_label(train: Rows, binary: set[str]) -> Iterator[Finding]:
    """Numbers that a regression label nearly equals, up to scale or order; and those named like an outcome that go with a label."""
    for task, labels in train.labels.items():
        for name, values in train.numbers.items():
            known = ~np.isnan(labels) & ~np.isnan(values)
            if known.sum() < FEW:
                continue
            found = correlation(values[known], labels[known])
            if task not in binary:
                by_order = correlation(ranks(values[known]), ranks(labels[known]))
                found = max(found, by_order, key=abs)
            named = bool(OUTCOMES & set(re.split(r"[^a-z]+", name.lower())))
            if abs(found) > (NEARLY_EQUAL if named else EQUAL):
                sentence = f"It nearly equals the label of {task!r} (correlation {found:.4f}). Leave it out."
                yield Finding("leak", name, sentence, {"correlation": found})
