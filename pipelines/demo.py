"""The demo: from the grocer's raw baskets to scores of an exported artifact, judged beside LightGBM.

    python -m pipelines.demo

Run it from the top of a checkout, with the extras `demo` and `gbdt`. A prepared log and a finished run are
not made again.
"""

import time
from pathlib import Path

import pyarrow.parquet as pq

from mtrec.config import load
from mtrec.console import Stages, console
from mtrec.evaluation.table import metrics_table
from mtrec.jobs.evaluate import evaluate_run
from mtrec.jobs.export import export_run
from mtrec.jobs.load import load_run
from mtrec.jobs.predict import predict
from mtrec.jobs.train import train
from pipelines.complete_journey import build

__all__ = ["main"]

DATA = Path("data/complete_journey")
CONFIG = "configs/complete_journey.yaml"


def main() -> None:
    """Log, prepare, train, evaluate, export, predict; then say where everything lies."""
    started = time.perf_counter()
    console.print("Joining the raw files into a log and its events")
    build(DATA)
    config = load(CONFIG)
    with Stages() as stages:
        run = train(config, stages)
    loaded = load_run(run.path)
    console.print("Fitting LightGBM on the same rows, a model a task")
    report = evaluate_run(loaded, baseline=True, progress=lambda task: console.print(f"  {task}"))
    artifact = export_run(loaded)
    predictions = run.path / "predictions.parquet"
    with Stages() as stages:
        predict(artifact.path, str(DATA / "requests"), predictions, lambda rows: stages("predict", rows))
    console.print(metrics_table(report))
    console.print(pq.read_table(predictions).slice(0, 5).to_pandas().to_string(index=False), highlight=False)
    console.print(f"report        {run.path / 'report.html'}")
    console.print(f"artifact      {artifact.path}, largest difference from training's scores {max(artifact.differences.values()):.1e}")
    console.print(f"predictions   {predictions}")
    console.print(f"MLflow store  {config.tracking.uri}, artifacts in {config.tracking.artifacts}")
    console.print(f"              look with: mlflow ui --backend-store-uri {config.tracking.uri}")
    console.print(f"All in {time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
