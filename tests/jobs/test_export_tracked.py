"""An exported artifact is kept with its run in MLflow."""

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.slow
def test_the_artifact_goes_to_the_run(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mtrec.jobs.export import export_run
    from mtrec.jobs.load import load_run
    from mtrec.jobs.train import train
    from mtrec.training.run import RunDirectory

    monkeypatch.chdir(tmp_path)
    run: RunDirectory = train(tiny.config("tracked", "training.epochs=1", "tracking.kind=mlflow"))
    export_run(load_run(run.path))
    run_id = (run.path / "mlflow_run_id").read_text().strip()
    kept = {path.name for path in (tmp_path / "mlartifacts" / run_id / "artifacts" / "artifact").iterdir()}
    assert kept == {"model.pt", "signature.json", "golden.parquet", "manifest.json"}

    from mlflow import MlflowClient

    found = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/mlruns.db").get_run(run_id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["environment.torch"].startswith("2.")
    assert {"test/click/auc", "valid/click/auc", "train/loss/buy"} <= found.data.metrics.keys()
