"""The exact AUC of rows that never lie in memory together: what ranks, files or days each counted, added up.

The AUC needs of a split only how many positives and negatives each distinct score has. Those counts add up, whole numbers in any order, so that the
AUC and its interval are the same in every bit however the rows came: in one piece, in chunks, or by rank. Nothing is binned; where there are more
distinct scores than memory should hold, sorted runs of them wait in temporary files.
"""

import contextlib
import tempfile
import weakref
from collections.abc import Iterator
from typing import IO, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.auc import auc_of_tallies, one_class
from mtrec.evaluation.metrics.checks import binary_labels, numbers
from mtrec.evaluation.metrics.metric import Metric, undefined
from mtrec.evaluation.metrics.tallies import Tally, in_blocks

__all__ = ["Counts", "ScoreCounts"]

ROWS_READ = 1 << 16
_RECORD = np.dtype([("score", np.float64), ("positives", np.int64), ("negatives", np.int64)])


class Counts(NamedTuple):
    """Attributes: scores [G], distinct and ascending; positives [G] and negatives [G] that have them."""

    scores: NDArray[np.float64]
    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]


class ScoreCounts:
    """Positives and negatives of each distinct score, compared in float64.

    Args:
        limit: scores held in memory, 24 bytes each; more go to temporary files.
    """

    def __init__(self, limit: int = 1 << 23) -> None:
        self.limit = limit
        self.num_positives = self.num_negatives = 0
        self._held: list[Counts] = []  # Sorted runs, each less than half as long as the one before: a score is merged a few times only.
        self._runs: list[tuple[IO[bytes], int]] = []
        self._files = contextlib.ExitStack()
        weakref.finalize(self, self._files.close)

    def add(self, scores: ArrayLike, labels: ArrayLike, *, where: object = None) -> Self:
        """Count rows: scores [n] without NaN, labels [n] 0 or 1.

        Raises:
            DataError: a score that is NaN, another label than 0 or 1, unequal lengths.
        """
        score = numbers(scores, "scores", where)
        self._take(_counts(score.astype(np.float64), binary_labels(labels, len(score), where)))
        return self

    def merge(self, other: "ScoreCounts") -> Self:
        """Count what another one counted; it stays as it is."""
        for counts in other:
            self._take(counts)
        return self

    def __iter__(self) -> Iterator[Counts]:
        """The counts in blocks, scores ascending over all of them."""
        sources = [*(_Source(file, length) for file, length in self._runs), *(_Source.of(counts) for counts in self._held)]
        while sources := [source for source in sources if source.fill()]:
            # Up to the least of the last scores in hand, no source can bring more of a score that is handed on.
            bound = min(float(source.waiting.scores[-1]) for source in sources)
            yield _added([source.up_to(bound) for source in sources])

    def auc(self) -> Metric:
        """The AUC as `auc` gives it for the same rows, to the last bit."""
        if self.num_positives + self.num_negatives == 0:
            return undefined("no rows")
        if reason := one_class(self.num_positives, self.num_negatives):
            return undefined(reason)
        return auc_of_tallies(in_blocks(self._tallies()), self.num_positives, self.num_negatives)

    def _tallies(self) -> Iterator[Tally]:
        return ((counts.positives, counts.negatives) for counts in self)

    def _take(self, counts: Counts) -> None:
        self.num_positives += int(counts.positives.sum())
        self.num_negatives += int(counts.negatives.sum())
        self._held.append(counts)
        full = sum(len(each.scores) for each in self._held) > self.limit
        while len(self._held) > 1 and (full or 2 * len(self._held[-1].scores) > len(self._held[-2].scores)):
            self._held.append(_added([self._held.pop(), self._held.pop()]))
        if len(self._held[0].scores) > self.limit:
            records = np.empty(len(self._held[0].scores), dtype=_RECORD)
            for name, column in zip(("score", "positives", "negatives"), self._held[0], strict=True):
                records[name] = column
            file = self._files.enter_context(tempfile.TemporaryFile(prefix="mtrec-scores-"))  # noqa: SIM115  Closed with the counts.
            file.write(records.data)
            self._runs.append((file, len(records)))
            self._held = []


class _Source:
    """A sorted run, read from its file block by block."""

    def __init__(self, file: IO[bytes] | None, length: int) -> None:
        self.file, self.length, self.place = file, length, 0
        self.waiting = _counts(np.zeros(0), np.zeros(0, dtype=np.bool_))

    @classmethod
    def of(cls, counts: Counts) -> Self:
        source = cls(None, 0)
        source.waiting = counts
        return source

    def fill(self) -> bool:
        """See that something waits; False at the end of the run."""
        if not len(self.waiting.scores) and self.file is not None and self.place < self.length:
            count = min(ROWS_READ, self.length - self.place)
            self.file.seek(self.place * _RECORD.itemsize)
            records = np.frombuffer(self.file.read(count * _RECORD.itemsize), dtype=_RECORD)
            self.waiting = Counts(records["score"], records["positives"], records["negatives"])
            self.place += count
        return len(self.waiting.scores) > 0

    def up_to(self, bound: float) -> Counts:
        end = int(np.searchsorted(self.waiting.scores, bound, side="right"))
        scores, positives, negatives = self.waiting
        taken = Counts(scores[:end], positives[:end], negatives[:end])
        self.waiting = Counts(scores[end:], positives[end:], negatives[end:])
        return taken


def _counts(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Counts:
    order = np.argsort(scores)
    return _of_sorted(scores[order], positive[order].astype(np.int64), (~positive[order]).astype(np.int64))


def _added(parts: list[Counts]) -> Counts:
    parts = [part for part in parts if len(part.scores)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    scores, positives, negatives = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(scores, kind="stable")
    return _of_sorted(scores[order], positives[order], negatives[order])


def _of_sorted(scores: NDArray[np.float64], positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> Counts:
    if not len(scores):
        return Counts(scores, positives, negatives)
    starts = np.concatenate([[0], np.flatnonzero(scores[1:] != scores[:-1]) + 1])
    return Counts(scores[starts], np.add.reduceat(positives, starts), np.add.reduceat(negatives, starts))
