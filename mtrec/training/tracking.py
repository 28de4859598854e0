"""Metrics, options and files of a run in MLflow: the only place that knows MLflow.

All calls are handed to one background thread, so that a store that is slow, locked or away neither slows nor stops training. The first failure
is told once, and tracking is silent from then on: the run's own metrics.jsonl has everything in any case.
"""

import json
import logging
import os
import queue
import re
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from mtrec.sections import Tracking
from mtrec.store import atomic_file

__all__ = ["RUN_ID", "MlflowTracking", "NoTracking", "Tracker", "open_tracker", "reopen_tracker"]

RUN_ID = "mlflow_run_id"
_NAME = re.compile(r"[A-Za-z0-9_.\-/]+")
_RUN_ID = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_SQLITE = "sqlite:///"
_LONGEST_VALUE = 6000
_MOST_METRICS = 1000  # Of one request; more are refused.
_MOST_PARAMS = 100

Status = Literal["FINISHED", "FAILED", "KILLED"]


class Tracker:
    """What training tells; this one keeps nothing. No method raises or waits, but for `close`."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """The resolved configuration: sections become dotted names. What a run that goes on has told already is left as it is."""

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Numbers by name, such as valid/buy/auc or train/loss/buy, after `step` optimizer steps."""

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Facts to find the run by."""

    def log_bundle(self, path: Path, name: str) -> None:
        """The files of a directory, stored under `name`; they must stay in place until `close` returns."""

    def log_file(self, path: Path) -> None:
        """One file; it must stay in place until `close` returns."""

    def set_terminated(self, status: Status) -> None:
        """How the run ended."""

    def close(self, timeout_s: float = 60.0) -> None:
        """Wait until everything is stored, at most `timeout_s` seconds."""


def open_tracker(tracking: Tracking, run_path: Path, name: str, trains: bool = True) -> Tracker:
    """The tracker of a run; a run directory that was tracked before goes on in the same MLflow run.

    Args:
        run_path: the run directory; it keeps the id of the MLflow run.
        name: of the run, as people see it.
        trains: whether the run is training from here on; what only adds to it leaves it running, finished, failed or killed, as it was.
    """
    return NoTracking() if tracking.kind == "none" else MlflowTracking(tracking, run_path, name, trains)


def reopen_tracker(tracking: Tracking, run_path: Path, name: str) -> Tracker:
    """The tracker of a run that is over, to add to it: how the run ended stays as it was; `NoTracking` for a run that was never tracked."""
    return open_tracker(tracking, run_path, name, trains=False) if (run_path / RUN_ID).is_file() else NoTracking()


class NoTracking(Tracker):
    """Keeps nothing, by the wish of the configuration."""


class MlflowTracking(Tracker):
    """Tells an MLflow store, from a thread of its own."""

    def __init__(self, tracking: Tracking, run_path: Path, name: str, trains: bool = True) -> None:
        # Paths are resolved here, where the working directory is the caller's.
        self._is_sqlite = tracking.uri.startswith(_SQLITE)
        self._uri = f"{_SQLITE}{Path(tracking.uri.removeprefix(_SQLITE)).absolute()}" if self._is_sqlite else tracking.uri
        artifacts = tracking.artifacts if "://" in tracking.artifacts else Path(tracking.artifacts).absolute().as_uri()
        self._artifacts = artifacts if self._is_sqlite else None  # A server knows where its artifacts lie.
        self._trains = trains
        self._experiment, self._run_path, self._name = tracking.experiment, Path(run_path).absolute(), name
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._metrics: deque[tuple[str, float, int, int]] = deque()
        self._lock = threading.Lock()
        self._silent = False
        self._client: Any = None
        self._run_id = ""
        self._known_params: set[str] = set()
        self._thread = threading.Thread(target=self._work, name="mtrec-tracking", daemon=True)
        self._thread.start()

    def log_params(self, params: Mapping[str, Any]) -> None:
        flat = {key: value[:_LONGEST_VALUE] for key, value in _flatten(params)}
        self._put(lambda: self._send_params(flat))

    def log_metrics(self, metrics: Mapping[str, float], step: int) -> None:
        now_ms = time.time_ns() // 10**6
        if not self._silent:
            self._metrics.extend((name, float(value), now_ms, step) for name, value in metrics.items())
            self._put(self._send_metrics)

    def log_tags(self, tags: Mapping[str, str]) -> None:
        for key, value in dict(tags).items():
            self._put(lambda key=key, value=value: self._client.set_tag(self._run_id, _checked(key), value))  # type: ignore[misc]

    def log_bundle(self, path: Path, name: str) -> None:
        self._put(lambda: self._client.log_artifacts(self._run_id, str(path), artifact_path=_checked(name)))

    def log_file(self, path: Path) -> None:
        self._put(lambda: self._client.log_artifact(self._run_id, str(path)))

    def set_terminated(self, status: Status) -> None:
        self._put(lambda: self._client.set_terminated(self._run_id, status=status))

    def close(self, timeout_s: float = 60.0) -> None:
        self._calls.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._give_up(f"the store did not answer within {timeout_s:g} s")

    def _put(self, call: Callable[[], None]) -> None:
        if not self._silent:
            self._calls.put(call)

    def _work(self) -> None:
        try:
            self._connect()
            while (call := self._calls.get()) is not None and not self._silent:
                call()
        except Exception as error:  # noqa: BLE001  Whatever is wrong with the store, training goes on.
            self._give_up(" ".join(str(error).split())[:300] or type(error).__name__)

    def _give_up(self, reason: str) -> None:
        with self._lock:
            first, self._silent = not self._silent, True
        self._metrics.clear()
        if first:
            logging.getLogger("mtrec").warning("Tracking stops, the run goes on: %s (%s). Its metrics are in metrics.jsonl.", reason, self._uri)

    def _connect(self) -> None:
        if self._is_sqlite:
            _probe(Path(self._uri.removeprefix(_SQLITE)))
        root = logging.getLogger()
        handlers, level = root.handlers[:], root.level
        client = _mlflow_client(self._uri)
        experiment = client.get_experiment_by_name(self._experiment)
        experiment_id = experiment.experiment_id if experiment is not None else self._create_experiment(client)
        if not self._silent:
            self._run_id = self._resumed(client) or self._create_run(client, experiment_id)
        root.handlers[:] = handlers  # The store's migrations set up logging for themselves.
        root.setLevel(level)
        self._client = client

    def _create_experiment(self, client: Any) -> str:
        try:
            return str(client.create_experiment(self._experiment, artifact_location=self._artifacts))
        except Exception:
            again = client.get_experiment_by_name(self._experiment)  # Another run may have been first.
            if again is None:
                raise
            return str(again.experiment_id)

    def _resumed(self, client: Any) -> str | None:
        file = self._run_path / RUN_ID
        run_id = file.read_text(encoding="utf-8").strip() if file.is_file() else ""
        if not _RUN_ID.fullmatch(run_id):
            return None
        try:
            run = client.get_run(run_id)
        except Exception as error:
            if getattr(error, "error_code", None) != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None  # The store is another one by now.
        self._known_params = set(run.data.params)
        if self._trains:
            client.update_run(run_id, status="RUNNING")
        return run_id

    def _create_run(self, client: Any, experiment_id: str) -> str:
        run_id = str(client.create_run(experiment_id, run_name=self._name).info.run_id)
        if not self._trains:  # The store is another one: the run is new there, and nothing will end it.
            client.set_terminated(run_id, status="FINISHED")
        with atomic_file(self._run_path / RUN_ID) as aside:
            aside.write_text(run_id + "\n", encoding="utf-8")
        return run_id

    def _send_params(self, flat: dict[str, str]) -> None:
        from mlflow.entities import Param

        new = [Param(key, value) for key, value in flat.items() if key not in self._known_params]
        for start in range(0, len(new), _MOST_PARAMS):
            self._client.log_batch(self._run_id, params=new[start : start + _MOST_PARAMS])
        self._known_params |= set(flat)

    def _send_metrics(self) -> None:
        """Send all that wait at once: a slow store gets fewer and larger requests, and later calls find nothing left to send."""
        from mlflow.entities import Metric

        waiting = [self._metrics.popleft() for _ in range(min(len(self._metrics), _MOST_METRICS))]
        if waiting:
            self._client.log_batch(self._run_id, metrics=[Metric(_checked(name), value, when, step) for name, value, when, step in waiting])


def _mlflow_client(uri: str) -> Any:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # MLflow reads it when it is imported, and reports its use over the network otherwise.
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def _probe(file: Path) -> None:
    """Fail at once where MLflow would try again for minutes: the database cannot be made or read. A lock is waited for."""
    file.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(file, timeout=60)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    finally:
        connection.close()


def _checked(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name or name.startswith("/"):
        raise ValueError(f"The name {name!r} should hold letters, digits and _ . - / only, without `..`")
    return name


def _flatten(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and texts; lists, and mappings whose keys are no names, are kept whole as JSON."""
    if isinstance(value, Mapping) and value and all(isinstance(key, str) and re.fullmatch(r"[A-Za-z0-9_\-]+", key) for key in value):
        for key, inner in value.items():
            yield from _flatten(inner, f"{path}.{key}".lstrip("."))
    else:
        yield path or "value", value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
