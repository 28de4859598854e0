"""Tables with tasks of set correlation and difficulty, and truth in closed form (MultiTab-Bench; Sinodinos et al., AAAI 2026).

    x ~ N(0, I_D),   W = P^(1/2) U,   z_t = w_t . x,   s_t = z_t + z_t^2 + ... + z_t^(d_t),   y_t = s_t + noise * e_t,   e_t ~ N(0, 1)

P is the Gram matrix of the tasks: 1 on its diagonal, `correlation` off it. The rows of U are orthonormal, so that W W^T = P: the cosine of two
tasks' weights is the correlation. Their labels correlate less where a degree is above 1; `correlations` says how much.

Where we differ: all rows are draws of their own, so that valid and test are held out with the same W; labels may be standardised by their moments
(of degree 1 and 4 the deviations are 1 and 12) or made binary; P^(1/2) is in closed form, and what P forbids is refused.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mtrec.data.synthetic_blocks import BLOCK, columns_of, cut
from mtrec.data.synthetic_normal import orthonormal_rows, polynomial, polynomial_covariances, polynomial_means
from mtrec.errors import ConfigError

__all__ = ["MultiTab"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MultiTab:
    """A set of T tasks, one for each degree.

    Args:
        num_features: D; at least T.
        correlation: of the tasks' weights, -1 / (T - 1) to 1.
        degrees: d_t, of the polynomial of each task.
        noise: deviation of the noise in y_t.
        labels: `raw` y_t; `standard`, (y_t - mean) / deviation; `threshold`, 1 where y_t is in its top `rate`; `bernoulli`, 1 with probability
            sigmoid(slope * ((s_t - mean) / deviation - b_t)), b_t such that the mean is `rate`.

    Raises:
        ConfigError: if there are fewer features than tasks, or no such correlations.
    """

    num_features: int = 32
    correlation: float = 0.4
    degrees: tuple[int, ...] = (1, 3, 2, 3, 4, 2, 3)
    noise: float = 0.01
    labels: Literal["raw", "standard", "threshold", "bernoulli"] = "standard"
    rate: float = 0.1
    slope: float = 4.0
    seed: int = 0

    def __post_init__(self) -> None:
        num_tasks = len(self.degrees)
        lowest = -1 / (num_tasks - 1) if num_tasks > 1 else -1.0
        if not num_tasks or min(self.degrees) < 1:
            raise ConfigError("A degree is at least 1, and each task has one", where="degrees", found=self.degrees)
        if num_tasks > self.num_features:
            raise ConfigError("Orthonormal weights need a feature for each task", where="num_features", found=self.num_features, expected=num_tasks)
        if not lowest <= self.correlation <= 1:
            raise ConfigError(f"{num_tasks} tasks cannot correlate so", where="correlation", found=self.correlation, expected=f"{lowest:.4g} to 1")
        if not (0 < self.rate < 1 and self.noise >= 0):
            raise ConfigError("The rate lies between 0 and 1, and the noise is not negative", found=f"rate {self.rate}, noise {self.noise}")

    @cached_property
    def weights(self) -> Floats:
        """W, [T, D]."""
        num_tasks, own = len(self.degrees), math.sqrt(1 - self.correlation)
        common = (math.sqrt(max(1 + (num_tasks - 1) * self.correlation, 0.0)) - own) / num_tasks
        root = own * np.eye(num_tasks) + common
        return np.asarray(root @ orthonormal_rows(num_tasks, self.num_features, self.seed))

    @cached_property
    def means(self) -> Floats:
        """Of raw y_t, [T]."""
        return polynomial_means(self.degrees)

    @cached_property
    def deviations(self) -> Floats:
        """Of raw y_t, [T]."""
        return np.asarray(np.sqrt(np.diag(self._covariances())))

    @property
    def correlations(self) -> Floats:
        """Of the raw or standardised labels, [T, T]."""
        return np.asarray(self._covariances() / np.outer(self.deviations, self.deviations))

    def _covariances(self) -> Floats:
        noise = self.noise**2 * np.eye(len(self.degrees))
        return np.asarray(polynomial_covariances(self.degrees, self.correlation) + noise)

    def stream(self, num_rows: int, rows_per_table: int = 100_000, truth: bool = False) -> Iterator[pa.Table]:
        """Tables with row_id, split, x0 ..., y0 ... and, on request, truth_y0 ...: s_t as y_t is scaled, or the probability of 1."""
        return cut((self._block(number, truth) for number in range(-(-num_rows // BLOCK))), num_rows, rows_per_table)

    def _block(self, number: int, truth: bool) -> pa.Table:
        random = np.random.default_rng([self.seed, 1, number])
        x_BD = random.standard_normal((BLOCK, self.num_features), dtype=np.float32)
        s_BT = self._signals(x_BD.astype(np.float64) @ self.weights.T)
        draws = random.random if self.labels == "bernoulli" else random.standard_normal
        y_BT, truth_BT = self._label(s_BT, np.asarray(draws(s_BT.shape)))
        return pa.table(columns_of("x", x_BD) | columns_of("y", y_BT) | (columns_of("truth_y", truth_BT) if truth else {}))

    def _label(self, s_BT: Floats, draws_BT: Floats) -> tuple[NDArray[Any], Floats]:
        """Labels and their truth, from signals and draws of the noise: normal, or uniform for `bernoulli`."""
        if self.labels == "bernoulli":
            truth_BT = self._probability(s_BT, self.offsets)
            return (draws_BT < truth_BT).astype(np.int8), truth_BT
        y_BT = s_BT + self.noise * draws_BT
        if self.labels == "threshold":
            return (y_BT >= self.offsets).astype(np.int8), self._probability(s_BT, self.offsets)
        means, deviations = (self.means, self.deviations) if self.labels == "standard" else (0.0, 1.0)
        return ((y_BT - means) / deviations).astype(np.float32), np.asarray((s_BT - means) / deviations)

    def _probability(self, s_BT: Floats, offsets_T: Floats) -> Floats:
        """The probability of 1 given the signal, for binary labels."""
        if self.labels == "bernoulli":
            return _sigmoid(self.slope * ((s_BT - self.means) / self.deviations - offsets_T))
        if self.noise == 0:
            return (s_BT >= offsets_T).astype(np.float64)
        return np.asarray(torch.special.ndtr(torch.from_numpy((s_BT - offsets_T) / self.noise)).numpy())

    @cached_property
    def offsets(self) -> Floats:
        """Where binary labels begin, [T]: the threshold of each y_t, or b_t; found by bisection."""
        middles = (torch.arange(2**15, dtype=torch.float64) + 0.5) / 2**15  # of slices of z of equal probability
        s_MT = self._signals(torch.special.ndtri(middles).numpy()[:, None].repeat(len(self.degrees), axis=1))
        low, high = np.full(len(self.degrees), -1e6), np.full(len(self.degrees), 1e6)
        for _ in range(80):
            middle = (low + high) / 2
            is_low = self._probability(s_MT, middle).mean(0) > self.rate
            low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
        return np.asarray((low + high) / 2)

    def _signals(self, z_BT: Floats) -> Floats:
        return np.stack([polynomial(z_BT[:, task], degree) for task, degree in enumerate(self.degrees)], axis=1)


def _sigmoid(x: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(x, -700, 700))))
