"""The rows of one task that are judged, with the groups they belong to."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["JudgedRows"]


class JudgedRows(NamedTuple):
    """The rows of a task whose label is known.

    Attributes:
        predictions: [n] a probability for a binary task, a value for a regression.
        labels: [n].
        weights: [n], or None where all rows weigh alike.
        groups: [n] int64, or None where no group is declared.
        sessions: [n] int64, or None where no column has that role.
    """

    predictions: NDArray[Any]
    labels: NDArray[Any]
    weights: NDArray[Any] | None = None
    groups: NDArray[np.int64] | None = None
    sessions: NDArray[np.int64] | None = None

    def where(self, chosen: NDArray[np.bool_]) -> "JudgedRows":
        """The rows for which `chosen` [n] is True."""
        return JudgedRows(*(None if column is None else column[chosen] for column in self))  # type: ignore[arg-type]

    @property
    def weight(self) -> NDArray[np.float64]:
        """[n] float64, ones where all rows weigh alike."""
        return np.ones(len(self.labels)) if self.weights is None else self.weights.astype(np.float64)
