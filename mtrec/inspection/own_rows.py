"""Precomputed histories and counters that see the row they belong to."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from mtrec.inspection.finding import FEW, Finding
from mtrec.inspection.inputs import is_declared
from mtrec.inspection.rows import Rows
from mtrec.inspection.single_inputs import correlation

__all__ = ["counters_that_count_their_row", "lists_that_hold_their_row"]

ALWAYS, SELDOM, MORE = 0.9, 0.5, 0.3
COUNTED, PARTLY, UNSEEN = 0.9, 0.6, 0.2
STEPS = 100


def lists_that_hold_their_row(rows: Rows, binary: set[str], declared: Iterable[str]) -> Iterator[Finding]:
    """Lists whose newest value is the row's own item: how often where a label is 1, where it is 0, and by chance.

    By chance is the share of pairs of a row's item and another row's newest value that are equal.
    """
    if "item" not in rows.roles:
        return
    for name, newest in rows.newest.items():
        there = (newest != 0) & (rows.roles["item"] != 0)
        if is_declared(name, declared) or there.sum() < FEW:
            continue
        own = newest == rows.roles["item"]
        chance = _chance(newest[there], rows.roles["item"][there])
        always = float(own[there].mean())
        if always > ALWAYS:
            sentence = f"Its newest value is the row's own item in {always:.0%} of the rows: it holds the row itself."
            yield Finding("warning", name, sentence, {"rate": always, "chance": chance})
            continue
        for task in sorted(binary):
            one, zero = (there & (rows.labels[task] == value) for value in (1.0, 0.0))
            if min(one.sum(), zero.sum()) < FEW:
                continue
            in_positives, in_negatives = float(own[one].mean()), float(own[zero].mean())
            holds = in_positives > ALWAYS and in_negatives < SELDOM
            if holds or (in_positives - in_negatives > MORE and in_positives > 5 * chance):
                sentence = (
                    f"Its newest value is the row's own item in {in_positives:.0%} of the rows where {task!r} is 1 and in {in_negatives:.0%} "
                    f"where it is 0 ({chance:.0%} by chance): {'it holds' if holds else 'see whether it holds'} the row's own outcome."
                )
                figures = {"positives": in_positives, "negatives": in_negatives, "chance": chance}
                yield Finding("leak" if holds else "warning", name, sentence, figures)
                break


def _chance(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    values, place = np.unique(np.concatenate([one, other]), return_inverse=True)
    shares = [np.bincount(part, minlength=len(values)) / len(part) for part in (place[: len(one)], place[len(one) :])]
    return float((shares[0] * shares[1]).sum())


def counters_that_count_their_row(groups: dict[str, Rows], declared: Iterable[str]) -> Iterator[Finding]:
    """Numbers that rise in the very row whose label is counted.

    The rows of one user, of one item, or of one user and item, in the order of time: a counter of what was strictly earlier rises by the label
    of the row before, one that counts its own row by the label of the row itself. Told by the correlations of the rise from row to row with
    both. Rows of one time are one step, with the sum of their labels and the smallest of their counts.
    """
    told: set[str] = set()
    for role, rows in groups.items():
        for key in ([role], ["user", "item"]) if role == "user" and "item" in rows.roles else ([role],):
            steps = _Steps(rows, key)
            for name, values in rows.numbers.items():
                if name in told or is_declared(name, declared):
                    continue
                for finding in _counts_its_row(name, steps, values, rows.labels, " and ".join(key)):
                    told.add(name)
                    yield finding


def _counts_its_row(name: str, steps: "_Steps", values: NDArray[np.float64], labels: dict[str, NDArray[np.float64]], key: str) -> Iterator[Finding]:
    counter = steps.smallest(values)
    for task, label in labels.items():
        outcome = steps.total(np.nan_to_num(label))
        rise, own, before = counter[steps.later] - counter[steps.later - 1], outcome[steps.later], outcome[steps.later - 1]
        known = np.isfinite(rise)
        if known.sum() < STEPS:
            continue
        with_own, with_before = correlation(rise[known], own[known]), correlation(rise[known], before[known])
        surely = with_own > COUNTED and with_own > with_before
        if surely or (with_own > PARTLY and abs(with_before) < UNSEEN):
            sentence = (
                f"From one row of a {key} to the next it rises with the label of {task!r} of the row itself (correlation {with_own:.2f}; "
                f"{with_before:.2f} with that of the row before): {'it counts' if surely else 'see whether it counts'} the row's own outcome."
            )
            yield Finding("leak" if surely else "warning", name, sentence, {"own": with_own, "before": with_before, "steps": float(known.sum())})
            return


class _Steps:
    """The rows of each key in the order of time; rows of one key and time are one step.

    Attributes: later, [steps] the places of the steps that have one of the same key before them.
    """

    def __init__(self, rows: Rows, key: list[str]) -> None:
        columns = [rows.roles[role] for role in key]
        time = rows.roles["time"]
        self._kept = np.flatnonzero(~np.isnan(time) & np.all([column != 0 for column in columns], axis=0))
        self._order = self._kept[np.lexsort([time[self._kept], *(column[self._kept] for column in columns)])]
        same_key = np.all([column[self._order][1:] == column[self._order][:-1] for column in columns], axis=0)
        same_time = time[self._order][1:] == time[self._order][:-1]
        begins = np.concatenate([[True], ~(same_key & same_time)])[: len(self._order)]
        self._starts = np.flatnonzero(begins)
        self.later = np.flatnonzero(np.concatenate([[False], same_key])[: len(self._order)][self._starts])

    def total(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.add.reduceat(values[self._order], self._starts) if len(self._starts) else np.empty(0)

    def smallest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The smallest of each step; NaN where any is."""
        return np.minimum.reduceat(values[self._order], self._starts) if len(self._starts) else np.empty(0)
