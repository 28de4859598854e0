"""Log loss of probabilities or logits, in float64.

    log loss = -sum_i w_i [y_i log p_i + (1 - y_i) log(1 - p_i)] / sum_i w_i

with p clipped to [1e-7, 1 - 1e-7]. From a logit z the term is softplus(z) - y z, which needs no clipping.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mtrec.errors import DataError
from mtrec.evaluation.metrics.checks import binary_labels, in_unit_interval, numbers, row_weights
from mtrec.evaluation.metrics.metric import Metric, weighted_mean

__all__ = ["log_loss", "log_loss_from_logits", "losses_of"]

CLIP = 1e-7


def log_loss(probabilities: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The mean negative log-likelihood of the labels, in nats; undefined with no rows, or where no row has weight.

    Args:
        probabilities: [N] in [0, 1]; computed in float64, clipped to [1e-7, 1 - 1e-7].
        labels: [N] 0 or 1, of any numeric type. One class alone is enough.
        weights: [N] finite, 0 or above; None weighs all rows alike.
        where: what an error is to call the data.

    Raises:
        DataError: a probability that is NaN or outside [0, 1], another label than 0 or 1, a bad weight, unequal lengths.
    """
    scores = in_unit_interval(probabilities, where)
    positive = binary_labels(labels, len(scores), where)
    return weighted_mean(losses_of(scores, positive), row_weights(weights, len(scores), where))


def losses_of(probabilities: NDArray[np.float64], positive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The loss of each row: probabilities [N] in [0, 1] and labels [N] to [N]."""
    clipped = probabilities.clip(CLIP, 1 - CLIP)
    return np.asarray(-np.where(positive, np.log(clipped), np.log1p(-clipped)))


def log_loss_from_logits(logits: ArrayLike, labels: ArrayLike, weights: ArrayLike | None = None, *, where: object = None) -> Metric:
    """The log loss of sigmoid(logits), exact however large the logits; undefined as `log_loss` is.

    Args:
        logits: [N] any finite numbers; the rest as in `log_loss`.

    Raises:
        DataError: a logit that is not finite, another label than 0 or 1, a bad weight, unequal lengths.
    """
    scores = numbers(logits, "logits", where).astype(np.float64)
    positive = binary_labels(labels, len(scores), where)
    if num_infinite := int(np.count_nonzero(np.isinf(scores))):
        raise DataError("Some logits are infinite", where=where, found=f"{num_infinite} of {len(scores)}", expected="none")
    return weighted_mean(np.logaddexp(0.0, np.where(positive, -scores, scores)), row_weights(weights, len(scores), where))
