"""The controls that were trained beside a run: judged like it, and kept in its directory."""

import json
from typing import Any

from mtrec import ranks
from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.evaluation.judge import judge
from mtrec.store import write_json
from mtrec.training.assemble import RankingModel
from mtrec.training.run import RunDirectory
from mtrec.training.scoring import SCORING_ROWS, score

__all__ = ["controls_of", "keep_control"]


def keep_control(run: RunDirectory, config: Config, prepared: Prepared, model: RankingModel, name: str) -> None:
    """Judge a model as it stands on valid and test, under the name of a control."""
    readers = {split: prepared.reader(split, SCORING_ROWS, **ranks.share()) for split in ("valid", "test")}
    found = {split: judge(score(model, reader), config) for split, reader in readers.items()}
    if ranks.is_first():
        write_json(run.path / "controls.json", {**_kept(run), name: found})


def controls_of(run: RunDirectory, split: str, log: list[str] | None) -> dict[str, Any]:
    """The part `controls` of a report of a split; nothing where none were trained, or none were judged on it, as on another log."""
    found = {name: {"tasks": splits[split]} for name, splits in _kept(run).items() if split in splits and not log}
    return {"controls": found} if found else {}


def _kept(run: RunDirectory) -> dict[str, Any]:
    path = run.path / "controls.json"
    kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return kept
