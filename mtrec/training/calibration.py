"""Fitting the maps that calibrate tasks, on the rows of valid that know the label; by how much each row weighs.

`platt` maximises the likelihood of sigmoid(slope z + offset) (Platt 1999), with the labels as they are: he shrinks them a little, which matters
for few rows only, and those are refused here.

`isotonic` pools adjacent rows until the share of positives rises with z (Ayer et al. 1955, Annals of Mathematical Statistics 26:641; Zadrozny and
Elkan 2002, KDD), and draws a line through the mean z and share of each block (centred isotonic regression: Oron and Flournoy 2017, Statistics in
Biopharmaceutical Research 9:258). Steps would tie all rows of a block. Where we differ: no share lies nearer to 0 or 1 than n rows can tell,
1 / (n + 2); and blocks that are so close that the line would be steep are pooled too, since a score must not hang on the last bits of a logit,
which are others on another machine.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.special import expit

from mtrec.model.calibration import Isotonic, Platt

__all__ = ["FEWEST", "fit", "fit_isotonic", "fit_platt"]

FEWEST = {"platt": 20, "isotonic": 50}  # Rows of each class without which there is no map: two figures need less than a curve.
STEEPEST = 2.0  # Of a line, in probability for each unit of z; the logistic curve has 0.25.
NEAREST = 1e-3  # Between two knots, in units of z, or as a share of it where that is more.
MOST_STEPS = 100

Floats = NDArray[np.float64]


def fit(kind: str, z: NDArray[Any], labels: NDArray[Any], weights: NDArray[Any]) -> Platt | Isotonic | str:
    """The map of a task, or the reason why there is none.

    Args:
        kind: platt or isotonic.
        z: [N] logits.
        labels: [N] 0 or 1.
        weights: [N]; rows that weigh nothing do not count.
    """
    heavy = weights > 0
    z, positive, weight = z[heavy].astype(np.float64), labels[heavy] == 1, weights[heavy].astype(np.float64)
    fewest = min(int(positive.sum()), int((~positive).sum()))
    if fewest < FEWEST[kind]:
        return f"{fewest} rows of one class: {kind} needs {FEWEST[kind]} of each"
    return fit_platt(z, positive, weight) if kind == "platt" else fit_isotonic(z, positive, weight)


def fit_platt(z: Floats, positive: NDArray[np.bool_], weight: Floats) -> Platt | str:
    """By Newton's method with halved steps, in float64; both classes must be there."""
    if z.min() == z.max():
        return "all rows have one score"
    if z[~positive].min() >= z[positive].max():
        return "the scores order the rows backwards"
    if z[~positive].max() <= z[positive].min():
        return "the scores tell the classes apart without a fault: no finite slope is best"
    centre, scale = z.mean(), z.std()
    x, share = np.stack([(z - centre) / scale, np.ones(len(z))]), weight / weight.sum()
    theta = np.array([0.0, np.log(weight[positive].sum() / weight[~positive].sum())])
    for _ in range(MOST_STEPS):
        p = expit(theta @ x)
        gradient = x @ (share * (p - positive))
        step = np.linalg.solve((x * (share * p * (1 - p))) @ x.T, gradient)
        size = 1.0
        while _loss((theta - size * step) @ x, positive, share) > _loss(theta @ x, positive, share) and size > 1e-9:
            size /= 2
        theta = theta - size * step
        if np.abs(step).max() < 1e-10:
            break
    slope = float(theta[0] / scale)
    return Platt(slope, float(theta[1] - slope * centre)) if slope > 0 else "the scores order the rows backwards"


def _loss(logits: Floats, positive: NDArray[np.bool_], share: Floats) -> float:
    return float((share * np.logaddexp(0.0, np.where(positive, -logits, logits))).sum())


def fit_isotonic(z: Floats, positive: NDArray[np.bool_], weight: Floats) -> Isotonic | str:
    """Pool, bound, pool what is steep; see above."""
    values, inverse = np.unique(z, return_inverse=True)
    rows = np.bincount(inverse, weights=weight)
    found = isotonic_regression(np.bincount(inverse, weights=weight * positive) / rows, weights=rows)
    starts = found.blocks[:-1]
    totals = np.add.reduceat(rows, starts)
    nearest = 1 / (len(z) + 2)
    shares = found.x[starts].clip(nearest, 1 - nearest)
    blocks = zip(np.add.reduceat(rows * values, starts) / totals, shares, totals, strict=True)
    knots: list[tuple[float, float, float]] = []
    for block in blocks:
        knots.append((float(block[0]), float(block[1]), float(block[2])))
        while len(knots) > 1 and _too_close(knots[-2], knots[-1]):
            (z0, p0, w0), (z1, p1, w1) = knots[-2:]
            knots[-2:] = [((w0 * z0 + w1 * z1) / (w0 + w1), (w0 * p0 + w1 * p1) / (w0 + w1), w0 + w1)]
    if len(knots) < 2:
        return "the share of positives does not rise with the score"
    return Isotonic([knot[0] for knot in knots], [knot[1] for knot in knots])


def _too_close(low: tuple[float, float, float], high: tuple[float, float, float]) -> bool:
    return high[0] - low[0] < max((high[1] - low[1]) / STEEPEST, NEAREST * max(1.0, abs(high[0])))
