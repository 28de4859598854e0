"""What stands around a run may fail: the tracking store is away, or mtrec itself is not there where the artifact is served."""

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtrec.jobs.export import export_run
from mtrec.training.tracking import MlflowTracking
from tests.faults.kit import blocked_modules

BLOCKED = ("fbgemm_gpu", "mlflow", "mtrec", "pandas", "polars", "pyarrow", "pydantic", "safetensors", "torchrec", "yaml")


def lines_of(run: Any) -> bytes:
    content: bytes = run.metrics_file.read_bytes()
    return content


def assert_goes_on(tiny: Any, trained: Any, caplog: pytest.LogCaptureFixture, name: str, uri: str) -> None:
    run = tiny.train(name, "training.early_stopping=null", f"tracking={{kind: mlflow, uri: '{uri}'}}")
    told = [record.getMessage() for record in caplog.records if record.name == "mtrec" and record.levelno >= logging.WARNING]
    assert [message.startswith("Tracking stops, the run goes on") for message in told] == [True]
    assert lines_of(run) == lines_of(trained)
    assert run.report_file.is_file()


@pytest.mark.parametrize("fault", ["no database", "nowhere to write"])
def test_a_store_that_fails_stops_no_training(fault: str, tiny: Any, trained: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """These are met before MLflow is imported, which takes seconds."""
    place = {"no database": tmp_path / "mlruns.db", "nowhere to write": Path("/proc/none/mlruns.db")}[fault]
    (tmp_path / "mlruns.db").write_bytes(b"this is no database" * 100)
    assert_goes_on(tiny, trained, caplog, f"tracked-{fault.partition(' ')[0]}", f"sqlite:///{place}")
    assert (tmp_path / "mlruns.db").read_bytes() == b"this is no database" * 100


def test_whatever_tracking_raises_stays_there(
    tiny: Any, trained: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("the store's client broke")

    monkeypatch.setattr(MlflowTracking, "_connect", fail)
    assert_goes_on(tiny, trained, caplog, "tracked-broken", f"sqlite:///{tmp_path}/mlruns.db")


@pytest.mark.slow
def test_a_server_that_is_away_stops_no_training(tiny: Any, trained: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert_goes_on(tiny, trained, caplog, "tracked-away", "http://127.0.0.1:9")


PROGRAM = """
import json, warnings
warnings.simplefilter("ignore")
import torch
model = torch.jit.load(sys.argv[1])
inputs = json.load(open(sys.argv[2]))["inputs"]
lengths = torch.ones(3, dtype=torch.int64)
def request():
    numbers = {each["column"]: torch.zeros(3, dtype=torch.float64) for each in inputs if each["kind"] == "number"}
    ids = {each["column"]: (torch.zeros(3, dtype=torch.int64), lengths) for each in inputs if each["kind"] in ("id", "id_list")}
    strings = {each["column"]: (["a"] * 3, lengths) for each in inputs if each["kind"].startswith("string")}
    return numbers, ids, strings
def told(change):
    wrong = request()
    change(*wrong)
    try:
        model(*wrong)
    except torch.jit.Error as error:
        return str(error).strip().splitlines()[-1]
    return "scored"
json.dump({
    "whole": told(lambda numbers, ids, strings: None),
    "missing number": told(lambda numbers, ids, strings: numbers.pop("price")),
    "missing id": told(lambda numbers, ids, strings: ids.pop("item_id")),
    "negative": told(lambda numbers, ids, strings: ids.update(item_id=(torch.zeros(3, dtype=torch.int64), torch.tensor([-1, 2, 2])))),
    "short": told(lambda numbers, ids, strings: strings.update(kind=(["a"], lengths))),
    "ragged": told(lambda numbers, ids, strings: numbers.update(price=torch.zeros(2, dtype=torch.float64))),
    "ragged id": told(lambda numbers, ids, strings: ids.update(item_id=(torch.zeros(2, dtype=torch.int64), lengths[:2]))),
    "fractions": told(lambda numbers, ids, strings: ids.update(item_id=(torch.zeros(3), lengths))),
}, sys.stdout)
"""


def test_the_script_itself_refuses_wrong_requests_where_mtrec_is_not_there(loaded: Any, tmp_path: Path) -> None:
    artifact = tmp_path / "artifact"
    export_run(loaded, artifact)
    command = [sys.executable, "-P", "-c", blocked_modules(BLOCKED) + PROGRAM, str(artifact / "model.pt"), str(artifact / "signature.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told.pop("whole") == "scored"
    columns = {"missing number": "price", "short": "kind", "ragged": "price"}
    assert [f"{fault}: {text}" for fault, text in told.items() if columns.get(fault, "item_id") not in text] == []
