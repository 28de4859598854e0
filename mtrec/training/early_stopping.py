"""Which epoch was the best, and when to stop looking for a better one."""

from typing import Any

from mtrec.config import EarlyStopping

__all__ = ["BestEpoch"]

_LOWER_IS_BETTER = ("logloss", "rmse")


class BestEpoch:
    """Keeps the metrics of the best epoch, and counts the epochs since.

    Without a configuration no epoch is better than the last one, and nothing stops early. A metric that is undefined, such as the AUC of a valid
    split with one class, never counts as better; the first epoch always does.
    """

    def __init__(self, config: EarlyStopping | None) -> None:
        self.config = config
        self.metrics: dict[str, float] | None = None
        self.epochs_without = 0

    def is_better(self, metrics: dict[str, float]) -> bool:
        """Compare, and remember the metrics if they are better."""
        better = self.config is None or self.metrics is None or _better(self.config.metric, metrics, self.metrics)
        if better:
            self.metrics = dict(metrics)
        self.epochs_without = 0 if better else self.epochs_without + 1
        return better

    @property
    def exhausted(self) -> bool:
        return self.config is not None and self.epochs_without >= self.config.patience

    def state(self) -> dict[str, Any]:
        return {"metrics": self.metrics, "epochs_without": self.epochs_without}

    def load(self, state: dict[str, Any]) -> None:
        self.metrics, self.epochs_without = state["metrics"], state["epochs_without"]


def _better(metric: str, new: dict[str, float], best: dict[str, float]) -> bool:
    if metric == "no_task_worse":
        judged = [name for name in best if name.endswith(("/auc", "/rmse"))]
        gains = [_gain(name, new, best) for name in judged]
        return all(gain is not None and gain >= 0 for gain in gains) and any(gain is not None and gain > 0 for gain in gains)
    gain = _gain(metric, new, best)
    return gain is not None and gain > 0


def _gain(name: str, new: dict[str, float], best: dict[str, float]) -> float | None:
    if name not in new:
        return None
    if name not in best:
        return 1.0
    return (best[name] - new[name]) if name.rpartition("/")[2] in _LOWER_IS_BETTER else (new[name] - best[name])
