"""What happened to each row, whatever it was given: the label that a ranking of all rows is judged by."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtrec.schema import Task
from mtrec.training.scoring import Scores

__all__ = ["Outcome", "outcomes_of"]


class Outcome(NamedTuple):
    """Attributes: values [rows] float64, 0 where unknown; known [rows]."""

    values: NDArray[np.float64]
    known: NDArray[np.bool_]


def outcomes_of(scores: Scores, tasks: Mapping[str, Task]) -> dict[str, Outcome]:
    """The outcome of each task: its label, times that of the task it is given; so 0, and known, where that one is known to be 0."""
    found: dict[str, Outcome] = {}

    def outcome(name: str) -> Outcome:
        if name not in found:
            place = list(tasks).index(name)
            known = scores.mask[:, place]
            values = np.where(known, scores.labels[:, place], 0.0).astype(np.float64)
            given = tasks[name].given
            if given is not None:
                before = outcome(given)
                known = known | (before.known & (before.values == 0))  # Its own label is known only where all it is given are 1.
            found[name] = Outcome(values, known)
        return found[name]

    return {name: outcome(name) for name in tasks}
