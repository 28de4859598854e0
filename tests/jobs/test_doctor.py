import subprocess
from pathlib import Path
from typing import Any

import pytest

from mtrec.jobs.doctor import doctor
from mtrec.testing import environment
from mtrec.testing.environment import Finding, examine

CUDA_BUILD = """Traceback (most recent call last):
OSError: libtorch_cuda.so: cannot open shared object file: No such file or directory
Exception: Could not load this library: fbgemm_gpu_config.so
"""


@pytest.fixture
def imports_end_with(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let every import in a process of its own end with a code and a text."""

    def end_with(code: int, stderr: str) -> None:
        monkeypatch.setattr(environment.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, code, "", stderr))

    return end_with


def bad(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if not finding.good}


def test_a_good_machine_is_good(tmp_path: Path, imports_end_with: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(environment, "LEAST_FREE_BYTES", 1)
    imports_end_with(0, "")
    assert bad(examine(tmp_path)) == {}
    assert doctor(tmp_path) == 0
    told = capsys.readouterr().out
    assert "torchrec" in told
    assert "BAD" not in told
    assert list(tmp_path.iterdir()) == []


def test_the_cuda_build_is_named_with_the_line_that_helps(tmp_path: Path, imports_end_with: Any, capsys: pytest.CaptureFixture[str]) -> None:
    imports_end_with(1, CUDA_BUILD)
    assert "fbgemm_gpu is the CUDA build" in bad(examine(tmp_path))["import torchrec"].do
    assert doctor(tmp_path) == 1
    assert "pip install -r requirements.txt" in capsys.readouterr().out


def test_a_missing_package_is_named(tmp_path: Path, imports_end_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "PACKAGES", ("torch", "no-such-package", "fbgemm-gpu-cpu"))
    imports_end_with(1, "ModuleNotFoundError: No module named 'torchrec'")
    assert bad(examine(tmp_path))["no-such-package"].text == "not installed"
    assert bad(examine(tmp_path))["import torchrec"].do == "Run `pip install -r requirements.txt`."


def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, imports_end_with: Any) -> None:
    imports_end_with(0, "")
    assert "runs/" in bad(examine(tmp_path / "none"))["write"].do


def test_too_many_threads_are_named(tmp_path: Path, imports_end_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    imports_end_with(0, "")
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert "cores" in bad(examine(tmp_path))


def test_a_process_that_does_not_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, 300)

    monkeypatch.setattr(environment.subprocess, "run", hang)
    assert "did not end" in bad(examine(tmp_path))["import torchrec"].text


def test_the_imports_of_this_machine_load() -> None:
    assert environment._import("torchrec", ["fbgemm_gpu", "torchrec"]).good
    assert not environment._import("nothing", ["mtrec.no_such_module"]).good
