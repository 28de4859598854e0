"""A model that is trained beside a run, on the run's prepared log, to be compared with it: no run of its own, and kept only as its metrics."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mtrec.config import Config
from mtrec.data.bundle import Prepared
from mtrec.evaluation.evaluate import flat
from mtrec.evaluation.verdict import judge_uncalibrated
from mtrec.jobs.trainer import build_trainer
from mtrec.store import write_json
from mtrec.training import checkpoint
from mtrec.training.assemble import build_model
from mtrec.training.run import RunDirectory, identity
from mtrec.training.scoring import SCORING_ROWS, score
from mtrec.training.stopping import on_sigterm

__all__ = ["trained_beside"]


def trained_beside(config: Config, prepared: Prepared, folder: Path, seed: int, progress: Callable[[str], None]) -> dict[str, Any]:
    """The metrics on test of a model that is trained in a folder with a seed; taken from there if it was, gone on with if it was stopped.

    Its checkpoints go once it is done.
    """
    run, config = RunDirectory(folder), config.model_copy(update={"seed": seed})
    made_of = json.loads(json.dumps([identity(config), prepared.digest]))
    if run.report_file.is_file() and (report := json.loads(run.report_file.read_text(encoding="utf-8")))["made_of"] == made_of:
        return dict(report["tasks"])
    run.checkpoints.mkdir(parents=True, exist_ok=True)
    model, last = build_model(config, prepared), checkpoint.latest(run.checkpoints)
    valid, test = (prepared.reader(split, SCORING_ROWS) for split in ("valid", "test"))
    judge = partial(judge_uncalibrated, config=config)
    trainer = build_trainer(config, run, prepared, model, lambda: flat(judge(score(model, valid))), run.logger(lambda *_: None), lambda rows: None)
    if last is not None:
        trainer.resume(checkpoint.load(last))
    run.keep_lines(trainer.num_lines)
    with on_sigterm(trainer.request_stop):
        trainer.fit()
    tasks = judge(score(model, test))
    write_json(run.report_file, {"made_of": made_of, "tasks": tasks})
    shutil.rmtree(run.checkpoints)
    progress(folder.name)
    return tasks
