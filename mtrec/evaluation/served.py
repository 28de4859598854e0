"""What a report says of that which is served: reliability and calibration of each binary task, the fused score, and the search for its weights."""

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from mtrec.config import Config
from mtrec.evaluation.fused import fuse, search, searched_outputs
from mtrec.evaluation.judged import judged_rows
from mtrec.evaluation.metrics.log_loss import log_loss
from mtrec.evaluation.ranking import RankedRows, ranking_report
from mtrec.evaluation.reliability import reliability
from mtrec.model.outputs import SCORE, Outputs
from mtrec.training.scoring import Scores

__all__ = ["Scored", "with_served"]

OPTIMISTIC = "fitted on the very rows that are judged here, so that these figures flatter it"


class Scored(NamedTuple):
    """Scored rows, and their raw columns; None where none are known."""

    scores: Scores
    columns: pa.Table | None


def with_served(
    report: dict[str, Any],
    judged: Scored,
    config: Config,
    outputs: Outputs,
    calibration: dict[str, dict[str, Any]],
    on_valid: bool,
    to_search: Scored | None = None,
) -> dict[str, Any]:
    """A report, to whose tasks is added how reliable they are and how they were calibrated, and to which the figures of the fused score are.

    Args:
        calibration: what was fitted by task, or why nothing was.
        on_valid: whether the judged rows are those that calibration was fitted on.
        to_search: the rows of valid, where weights of the fused score are to be searched for.
    """
    uncalibrated = outputs.uncalibrated(torch.from_numpy(judged.scores.logits)).numpy()
    tasks = {name: dict(found) for name, found in report["tasks"].items()}
    for place, (name, rows) in enumerate(judged_rows(judged.scores, config, None).items()):
        if config.tasks[name].kind != "binary":
            continue
        tasks[name]["reliability"] = reliability(rows)
        if name in calibration:
            before = log_loss(uncalibrated[judged.scores.mask[:, place], place], rows.labels, rows.weights, where=f"task `{name}`").value
            tasks[name]["calibration"] = _calibration(calibration[name], before, report["tasks"][name]["logloss"]["value"], on_valid)
    more = {SCORE: _score(judged, config, outputs)} if config.score else {}
    if to_search is not None:
        more["score_search"] = _search(to_search, None if on_valid else judged, config, outputs)
    return {**report, "tasks": tasks, **more}


def _calibration(facts: dict[str, Any], before: float | None, after: float | None, on_valid: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {key: facts[key] for key in ("kind", "rows", "positives", "slope", "offset", "reason") if key in facts}
    if "logits" in facts:
        shown["knots"] = len(facts["logits"])
    note = {"note": OPTIMISTIC} if on_valid and "reason" not in facts else {}
    return {**shown, "fitted_on": "valid", "logloss_before": before, "logloss_after": after, **note}


def _score(judged: Scored, config: Config, outputs: Outputs) -> dict[str, Any]:
    return ranking_report(RankedRows.of(judged.scores, config, judged.columns), _served(judged, outputs)[SCORE], config.score)


def _search(valid: Scored, judged: Scored | None, config: Config, outputs: Outputs) -> dict[str, Any]:
    """Weights for the fused score, chosen on valid; `judged` holds the figures of the chosen ones on other rows, where there are any."""
    served = _served(valid, outputs)
    kinds = {name: task.kind for name, task in config.tasks.items()}
    found = search(RankedRows.of(valid.scores, config, valid.columns), served, searched_outputs(served, kinds, config.score), config.score)
    found = {"on": "valid", "rows": len(valid.scores.row), **found}
    if judged is not None and "chosen" in found:
        weights = found["chosen"]["weights"]
        found["judged"] = ranking_report(RankedRows.of(judged.scores, config, judged.columns), fuse(_served(judged, outputs), weights), weights)
    return found


def _served(scored: Scored, outputs: Outputs) -> dict[str, NDArray[np.float32]]:
    return {name: values.numpy() for name, values in outputs(torch.from_numpy(scored.scores.logits)).items()}
