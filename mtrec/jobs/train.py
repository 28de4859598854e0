"""`mtrec train`: prepare if needed, go on from the last complete checkpoint, stop at the best epoch, judge on test."""

import signal
import threading
from collections.abc import Callable

from mtrec.config import Config, dump
from mtrec.evaluation.evaluate import evaluate, flat
from mtrec.jobs.evaluate import SCORING_ROWS, evaluate_run
from mtrec.jobs.load import Loaded, path_from
from mtrec.jobs.prepare import load_features, prepare
from mtrec.training import checkpoint
from mtrec.training.assemble import build_losses, build_model, build_weighting
from mtrec.training.run import RunDirectory
from mtrec.training.scoring import score
from mtrec.training.tracking import open_tracker
from mtrec.training.trainer import Trainer

__all__ = ["train"]


def train(config: Config, progress: Callable[[str, int], None] = lambda stage, rows: None) -> RunDirectory:
    """Train the run of a configuration to its end, and write its report; a finished run is left as it is.

    Args:
        progress: called with the stage ("fit", "encode", "train") and the rows just done.
    """
    run = RunDirectory(config.run_path)
    run.begin(config)
    last = checkpoint.latest(run.checkpoints)
    snapshot = checkpoint.load(last) if last is not None else None
    if snapshot is not None and snapshot.state["finished"] and run.report_file.is_file():
        return run
    prepared = prepare(config, progress)
    model = build_model(config, prepared)
    valid = prepared.reader("valid", SCORING_ROWS)
    tracker = open_tracker(config.tracking, run.path, config.name)
    tracker.log_params(dump(config))
    tracker.log_tags({"dataset_digest": prepared.digest})

    def judge() -> dict[str, float]:
        scores = score(model, valid)
        weight = scores.weight if config.log.roles.weight else None
        return flat(evaluate(dict(zip(config.tasks, scores.predictions.T, strict=True)), scores.labels, scores.mask, weight, config.tasks))

    def log(values: dict[str, float], step: int, epoch: int) -> None:
        run.log([{"step": step, "epoch": epoch, "name": name, "value": value} for name, value in values.items()])
        tracker.log_metrics(values, step)

    reader = prepared.reader("train", config.training.batch_size, config.seed)
    losses, weighting = build_losses(config.tasks), build_weighting(config)
    meta = {"digest": prepared.digest, "prepared": path_from(run, prepared)}
    trainer = Trainer(
        model, losses, weighting, reader, list(config.tasks), config.training, judge, log, run.checkpoints, meta, lambda rows: progress("train", rows)
    )
    if snapshot is not None:
        trainer.resume(snapshot)
    run.keep_lines(trainer.num_lines)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: trainer.request_stop())
    trainer.fit()
    report = evaluate_run(Loaded(run, config, prepared, load_features(config, prepared), model))
    tracker.log_metrics({f"test/{name}": value for name, value in flat(report["tasks"]).items()}, trainer.step)
    for file in (run.config_file, run.report_file, run.path / "report.html"):
        tracker.log_file(file)
    tracker.close()
    return run
