"""Whether a probability can be taken at its word: bins of equal count, in each the mean prediction, the share of positives and its interval.

The interval is Wilson's (1927, Journal of the American Statistical Association 22:209). Rows that differ in weight count as (sum w)^2 / sum w^2
equal ones (Kish 1965).
"""

import numpy as np

from mtrec.evaluation.metrics.ece import equal_count_bins
from mtrec.evaluation.rows import JudgedRows

__all__ = ["NUM_BINS", "reliability", "wilson"]

NUM_BINS = 10
NORMAL_QUANTILE = 1.959963984540054  # of .975


def wilson(share: float, count: float) -> tuple[float, float]:
    """The 95 % interval of a share that was seen in `count` draws, above 0.

    >>> [round(end, 4) for end in wilson(0.0, 10)]
    [0.0, 0.2775]
    """
    square = NORMAL_QUANTILE**2 / count
    half = np.sqrt(square * share * (1 - share) + square**2 / 4)
    return max(float((share + square / 2 - half) / (1 + square)), 0.0), min(float((share + square / 2 + half) / (1 + square)), 1.0)


def reliability(rows: JudgedRows, num_bins: int = NUM_BINS) -> list[dict[str, float]]:
    """The bins of a binary task that hold rows, by rising prediction: rows, predicted, share, low, high; none where no row has weight.

    Equal predictions share a bin, so there may be fewer bins than `num_bins`.
    """
    weight = rows.weight
    if not weight.sum() > 0:
        return []
    predicted, positive = rows.predictions.astype(np.float64), (rows.labels == 1).astype(np.float64)
    bin_of_row = equal_count_bins(predicted, weight, num_bins)
    count, total, squares, predictions, positives = (
        np.bincount(bin_of_row, weights=column) for column in (np.ones(len(weight)), weight, weight**2, weight * predicted, weight * positive)
    )
    bins = []
    for place in np.flatnonzero(total > 0).tolist():
        share = float(positives[place] / total[place])
        low, high = wilson(share, float(total[place] ** 2 / squares[place]))
        bins.append({"rows": int(count[place]), "predicted": float(predictions[place] / total[place]), "share": share, "low": low, "high": high})
    return bins
