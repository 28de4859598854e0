"""Tracking tells the store everything while the store answers, and never troubles training when it does not."""

import logging
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mtrec.sections import Tracking
from mtrec.training.tracking import RUN_ID, MlflowTracking, NoTracking, _checked, _flatten, _mlflow_client, open_tracker, reopen_tracker

PARAMS = {"model": {"architecture": {"kind": "mmoe", "num_experts": 8}}, "features": {"ids": [{"column": "item id"}]}, "long": "x" * 7000}


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """One store for all tests: making its tables takes seconds."""
    folder = tmp_path_factory.mktemp("tracking")
    return Tracking(uri=f"sqlite:///{folder}/mlruns.db", artifacts=str(folder / "artifacts"), experiment="tests")


@pytest.fixture(scope="session")
def run_path(store: Tracking, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was tracked once, with a bundle and a file."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "bundle").mkdir()
    (folder / "bundle" / "weights").write_bytes(b"1")
    (folder / "report.json").write_text("{}")
    tracker = open_tracker(store, folder, "shop")
    tracker.log_params(PARAMS)
    for step in range(3):
        tracker.log_metrics({"train/loss/buy": 1.0 - step / 10, "valid/buy/auc": 0.5}, step)
    tracker.log_tags({"dataset_digest": "abc"})
    tracker.log_bundle(folder / "bundle", "checkpoints/best")
    tracker.log_file(folder / "report.json")
    tracker.set_terminated("FINISHED")
    tracker.close(timeout_s=120)
    return folder


def run_of(store: Tracking, path: Path) -> tuple[Any, Any]:
    client = _mlflow_client(store.uri)
    return client, client.get_run((path / RUN_ID).read_text().strip())


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "mtrec" and record.levelno == logging.WARNING]


def test_everything_lands_under_its_name(store: Tracking, run_path: Path) -> None:
    client, run = run_of(store, run_path)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "shop"
    assert run.data.params["model.architecture.num_experts"] == "8"
    assert run.data.params["features.ids"] == '[{"column": "item id"}]'
    assert run.data.params["long"] == "x" * 6000
    assert run.data.tags["dataset_digest"] == "abc"
    losses = {metric.step: metric.value for metric in client.get_metric_history(run.info.run_id, "train/loss/buy")}
    assert losses == {0: 1.0, 1: 0.9, 2: 0.8}
    assert (Path(store.artifacts) / run.info.run_id / "artifacts" / "checkpoints" / "best" / "weights").read_bytes() == b"1"
    assert {entry.path for entry in client.list_artifacts(run.info.run_id)} == {"checkpoints", "report.json"}


def test_a_run_that_goes_on_is_the_same_run(store: Tracking, run_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (run_path / RUN_ID).read_text()
    tracker = open_tracker(store, run_path, "shop")
    tracker.log_params({**PARAMS, "model": {"architecture": {"kind": "ple", "num_experts": 8}}, "new": True})
    tracker.log_metrics({"train/loss/buy": 0.7}, 3)
    tracker.set_terminated("FAILED")
    tracker.close()
    client, run = run_of(store, run_path)
    assert (run_path / RUN_ID).read_text() == before
    assert run.info.status == "FAILED"
    assert [metric.step for metric in client.get_metric_history(run.info.run_id, "train/loss/buy")] == [0, 1, 2, 3]
    assert (run.data.params["model.architecture.kind"], run.data.params["new"]) == ("mmoe", "true")
    assert warnings_in(caplog) == []


def test_an_id_of_another_store_is_replaced(store: Tracking, run_path: Path, tmp_path: Path) -> None:
    (tmp_path / RUN_ID).write_text("0" * 32)
    open_tracker(store, tmp_path, "other").close()
    assert run_of(store, tmp_path)[1].info.run_name == "other"


def test_a_run_that_is_over_is_added_to(store: Tracking, run_path: Path, tmp_path: Path) -> None:
    assert type(reopen_tracker(store, tmp_path, "untold")) is NoTracking
    (tmp_path / RUN_ID).write_text((run_path / RUN_ID).read_text())
    before = run_of(store, tmp_path)[1].info
    tracker = reopen_tracker(store, tmp_path, "shop")
    tracker.log_metrics({"test/buy/auc": 0.25}, 3)
    tracker.close()
    run = run_of(store, tmp_path)[1]
    assert run.data.metrics["test/buy/auc"] == 0.25 and (run.info.status, run.info.end_time) == (before.status, before.end_time)


def test_an_odd_metric_name_is_told_once(store: Tracking, run_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = open_tracker(store, tmp_path, "odd")
    for step in range(3):
        tracker.log_metrics({"valid/../auc": 1.0}, step)
    tracker.close()
    assert len(warnings_in(caplog)) == 1


def test_a_locked_store_stops_nothing(store: Tracking, run_path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lock = sqlite3.connect(store.uri.removeprefix("sqlite:///"), isolation_level=None)
    lock.execute("BEGIN EXCLUSIVE")
    try:
        start = time.monotonic()
        tracker = open_tracker(store, tmp_path, "locked")
        for step in range(1000):
            tracker.log_metrics({"train/loss/buy": 1.0}, step)
        assert time.monotonic() - start < 1.0
        tracker.close(timeout_s=0.5)
        assert time.monotonic() - start < 3.0
        tracker.log_metrics({"train/loss/buy": 1.0}, 1000)
        tracker.close(timeout_s=0.1)
    finally:
        lock.close()
    assert isinstance(tracker, MlflowTracking)
    tracker._thread.join(60)
    assert not tracker._thread.is_alive()
    assert len(warnings_in(caplog)) == 1
    assert "did not answer within 0.5 s" in warnings_in(caplog)[0]
    assert not (tmp_path / RUN_ID).exists()


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "sqlite:////proc/none/mlruns.db", "nonsense://store", "sqlite:///{folder}"])
def test_a_store_that_is_away_stops_nothing(uri: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    tracker = open_tracker(Tracking(uri=uri.format(folder=tmp_path)), tmp_path, "away")
    tracker.log_params(PARAMS)
    tracker.log_metrics({"train/loss/buy": 1.0}, 0)
    tracker.close(timeout_s=30)
    tracker.close(timeout_s=30)
    assert len(warnings_in(caplog)) == 1


def test_a_damaged_store_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "mlruns.db").write_bytes(b"this is no database" * 100)
    tracker = open_tracker(Tracking(uri=f"sqlite:///{tmp_path}/mlruns.db"), tmp_path, "damaged")
    tracker.close(timeout_s=30)
    assert len(warnings_in(caplog)) == 1


def test_no_tracking_does_nothing(tmp_path: Path) -> None:
    tracker = open_tracker(Tracking(kind="none"), tmp_path, "none")
    assert isinstance(tracker, NoTracking)
    tracker.log_params(PARAMS)
    tracker.log_metrics({"a": 1.0}, 0)
    tracker.log_tags({"a": "b"})
    tracker.log_bundle(tmp_path, "a")
    tracker.log_file(tmp_path)
    tracker.set_terminated("KILLED")
    tracker.close()
    assert list(tmp_path.iterdir()) == []


def test_mlflow_reports_its_use_to_nobody(run_path: Path) -> None:
    from mlflow.telemetry.client import get_telemetry_client
    from mlflow.telemetry.utils import is_telemetry_disabled

    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert is_telemetry_disabled()
    assert get_telemetry_client() is None


def test_mlflow_is_loaded_on_use_only() -> None:
    code = "import sys, mtrec.training.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", ["", "../a", "a/../b", "/a", "a b", "größe", "a\n"])
def test_a_name_that_leads_elsewhere_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="should hold letters"):
        _checked(name)


def test_sections_become_dotted_names() -> None:
    nested = {"a": {"b": 1, "c": {"odd key": None}}, "d": [], "e": {}}
    assert dict(_flatten(nested)) == {"a.b": "1", "a.c": '{"odd key": null}', "d": "[]", "e": "{}"}
