"""The calibration of a run's best weights: taken as it is kept beside the checkpoints, or fitted on valid and kept."""

from pathlib import Path
from typing import Any

from mtrec import ranks
from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.training import calibrated
from mtrec.training.assemble import RankingModel
from mtrec.training.run import RunDirectory
from mtrec.training.scoring import SCORING_ROWS, score

__all__ = ["calibrate"]


def calibrate(run: RunDirectory, config: Config, prepared: Prepared, model: RankingModel, judged: Path) -> dict[str, dict[str, Any]]:
    """Calibrate what the model serves; returns what was fitted by task, or why nothing was.

    Args:
        model: with the weights that are judged.
        judged: the checkpoint that they come from.
    """
    kinds, path = calibrated.kinds_of(config), run.path / "calibration"
    if not kinds:
        return {}
    facts = calibrated.read(path, kinds, judged)
    if facts is None:  # On all ranks or on none: who writes has first scored with all others.
        valid = score(model, prepared.reader("valid", SCORING_ROWS, **ranks.share()))
        facts = calibrated.fit_all(kinds, config, model.outputs, valid)
        if ranks.is_first():
            calibrated.write(path, facts, judged)
    calibrated.apply(facts, config, model.outputs)
    return facts
