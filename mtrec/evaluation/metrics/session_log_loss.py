"""Log loss in which each session counts once, however many rows it has.

    sum_s L_s / S          L_s = sum_{i in s} w_i l_i / sum_{i in s} w_i

with l_i the log loss of a row, over the S sessions that have weight.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.evaluation.metrics.checks import binary_labels, groups_of_rows, in_unit_interval, row_weights
from mtrec.evaluation.metrics.log_loss import losses_of
from mtrec.evaluation.metrics.metric import Metric, undefined

__all__ = ["SessionLosses", "session_log_loss", "session_losses"]


class SessionLosses(NamedTuple):
    """Attributes: sessions [S] ids, ascending; losses [S], the mean loss of each, NaN where the session has no weight."""

    sessions: NDArray[np.int64]
    losses: NDArray[np.float64]


def session_log_loss(
    probabilities: ArrayLike, labels: ArrayLike, sessions: ArrayLike, weights: ArrayLike | None = None, *, where: object = None
) -> Metric:
    """The mean over sessions of their mean log losses; undefined with no rows, or where no row has weight.

    Args:
        probabilities: [N] in [0, 1], clipped as in `log_loss`.
        labels: [N] 0 or 1, of any numeric type.
        sessions: [N] ids of any whole numbers.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a probability that is NaN or outside [0, 1], another label than 0 or 1, a bad weight, unequal lengths.
    """
    losses = session_losses(probabilities, labels, sessions, weights, where=where).losses
    if not len(losses):
        return undefined("no rows")
    known = losses[~np.isnan(losses)]
    return Metric(float(known.mean())) if len(known) else undefined("no row has weight")


def session_losses(
    probabilities: ArrayLike, labels: ArrayLike, sessions: ArrayLike, weights: ArrayLike | None = None, *, where: object = None
) -> SessionLosses:
    """The mean log loss of each session; arguments and errors as in `session_log_loss`."""
    scores = in_unit_interval(probabilities, where)
    positive = binary_labels(labels, len(scores), where)
    names, session = np.unique(groups_of_rows(sessions, len(scores), where), return_inverse=True)
    given = row_weights(weights, len(scores), where)
    weight = np.ones(len(scores)) if given is None else given
    total = np.bincount(session, weights=weight, minlength=len(names))
    losses = np.bincount(session, weights=weight * losses_of(scores, positive), minlength=len(names))
    return SessionLosses(names, np.divide(losses, total, out=np.full(len(names), np.nan), where=total > 0))
