"""The metrics of scored rows, as a configuration wants them."""

from typing import Any

from mtrec.config import Config
from mtrec.evaluation.evaluate import evaluate
from mtrec.training.scoring import Scores

__all__ = ["judge"]


def judge(scores: Scores, config: Config) -> dict[str, dict[str, Any]]:
    """The `tasks` part of a report; rows count as much as they weigh, where the log has weights."""
    predictions = dict(zip(config.tasks, scores.predictions.T, strict=True))
    return evaluate(predictions, scores.labels, scores.mask, scores.weight if config.log.weighs else None, config.tasks)
