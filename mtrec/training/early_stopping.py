"""Which epoch was the best, and when to stop looking for a better one."""

from typing import Any

from mtrec.sections import EarlyStopping

__all__ = ["BestEpoch"]

_LOWER_IS_BETTER = ("logloss", "rmse")


class BestEpoch:
    """Keeps the metrics of the best epoch, and counts the epochs since.

    Without a configuration no epoch is better than the last one, and nothing stops early. An epoch whose metric is undefined, such as the AUC of a
    split with one class, is not better than one where it was defined; if it never was, there is nothing to judge by, and the last epoch is the best.
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
    names = [name for name in best if name.endswith(("/auc", "/rmse"))] if metric == "no_task_worse" else [metric]
    known = [name for name in names if name in best]
    if not known:
        return True
    gains = [_gain(name, new[name], best[name]) if name in new else -1.0 for name in known]
    return min(gains) >= 0 and max(gains) > 0


def _gain(name: str, new: float, best: float) -> float:
    return best - new if name.rpartition("/")[2] in _LOWER_IS_BETTER else new - best
