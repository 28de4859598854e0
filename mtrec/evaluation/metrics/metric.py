"""What a metric hands back: a value with its interval, or the reason why there is none."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Metric", "undefined", "weighted_mean"]


class Metric(NamedTuple):
    """A value, or the reason why it is undefined; never both.

    Attributes:
        value: the metric; None where it is undefined.
        low: lower end of the 95 % interval; None where there is no interval.
        high: upper end of the 95 % interval; None where there is no interval.
        reason: why the value is undefined; None where it is defined.
        facts: figures without which the value is not understood, such as the share of groups that it rests on.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    facts: Mapping[str, float] | None = None

    def to_json(self) -> dict[str, float | str | None]:
        """The metric as report.json has it.

        >>> Metric(0.75, 0.7, 0.8).to_json()
        {'value': 0.75, 'low': 0.7, 'high': 0.8}
        >>> undefined("no rows").to_json()
        {'value': None, 'reason': 'no rows'}
        """
        found: dict[str, float | str | None] = {"value": self.value}
        optional = {"low": self.low, "high": self.high, "reason": self.reason}
        return found | {name: value for name, value in optional.items() if value is not None} | dict(self.facts or {})


def undefined(reason: str, facts: Mapping[str, float] | None = None) -> Metric:
    """A metric that has no value, and why."""
    return Metric(None, reason=reason, facts=facts)


def weighted_mean(losses: NDArray[np.float64], weights: NDArray[np.float64] | None) -> Metric:
    """sum(w * losses) / sum(w) over losses [N] and weights [N]; undefined with no rows, or where no row has weight."""
    if not len(losses):
        return undefined("no rows")
    if weights is None:
        return Metric(float(losses.mean()))
    total = weights.sum()
    return Metric(float((weights * losses).sum() / total)) if total > 0 else undefined("no row has weight")
