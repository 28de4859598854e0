"""What a machine needs to train: versions that fit together, libraries that load, room to write.

`pip check` is clean with the CUDA build of fbgemm on a machine without CUDA, and only its import fails: so it is imported, in a process of its own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

__all__ = ["Finding", "examine"]

PACKAGES = (
    "mtrec-moe",
    "torch",
    "torchrec",
    "fbgemm-gpu",
    "fbgemm-gpu-cpu",
    "pyarrow",
    "polars",
    "pandas",
    "numpy",
    "pydantic",
    "safetensors",
    "mlflow",
)
OPTIONAL = ("fbgemm-gpu", "fbgemm-gpu-cpu")  # One of the two; whether it works, an import shows.
INSTALL = "pip install -r requirements.txt"
LEAST_FREE_BYTES = 2 * 2**30


class Finding(NamedTuple):
    """One thing that was looked at: whether it is as it should be, and what to do if not."""

    name: str
    good: bool
    text: str
    do: str = ""


def examine(directory: Path) -> list[Finding]:
    """Look at the Python, the packages and their imports, the processor, and the directory where runs will be written."""
    found = [_python(), *(_package(name) for name in PACKAGES)]
    found += [_import("torchrec", ["fbgemm_gpu", "torchrec"]), _import("serving", ["mtrec.serving"])]
    return [*found, _processor(), *_directory(directory)]


def _python() -> Finding:
    text = ".".join(str(part) for part in sys.version_info[:3])
    return Finding("python", sys.version_info >= (3, 11), text, "mtrec needs Python 3.11 or later.")


def _package(name: str) -> Finding:
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, name in OPTIONAL, "not installed", f"Run `{INSTALL}`.")


def _import(name: str, modules: list[str]) -> Finding:
    code = f"import {', '.join(modules)}"
    try:
        # A broken native library may end its process, so it gets one of its own.
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return Finding(f"import {name}", False, "did not end within 300 s", "Try again on a machine with less to do.")
    if done.returncode == 0:
        return Finding(f"import {name}", True, f"{', '.join(modules)} can be imported")
    told = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return Finding(f"import {name}", False, told, _advice(done.stderr))


def _advice(told: str) -> str:
    if "libtorch_cuda" in told or "libcuda" in told or "libcudart" in told or "fbgemm_gpu_config" in told:
        return (
            "fbgemm_gpu is the CUDA build, and this torch has no CUDA. Run "
            f"`pip uninstall -y fbgemm-gpu fbgemm-gpu-cpu`, then `{INSTALL}`: it brings the CPU build under the name that torchrec asks for."
        )
    if "No module named" in told:
        return f"Run `{INSTALL}`."
    return f"The builds of torch, torchrec and fbgemm may not fit together: `{INSTALL}` brings the tested set."


def _processor() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    fits = not asked.isdecimal() or 0 < int(asked) <= cores
    text = f"{cores} usable, OMP_NUM_THREADS {asked or 'not set'}"
    return Finding("cores", fits, text, "More threads than cores slow training down: unset OMP_NUM_THREADS, or lower it.")


def _directory(directory: Path) -> list[Finding]:
    where = directory.absolute()
    try:
        with tempfile.TemporaryFile(dir=where) as file:
            file.write(b"mtrec")
            file.flush()
            os.fsync(file.fileno())
        writable = Finding("write", True, str(where))
        free = shutil.disk_usage(where).free
    except OSError as error:
        return [Finding("write", False, str(error), "Change to a directory that you may write to: runs/, prepared/ and mlruns.db go there.")]
    enough = Finding("free disk", free >= LEAST_FREE_BYTES, f"{free / 2**30:.1f} GiB", "Prepared logs and checkpoints need room: 2 GiB at least.")
    return [writable, enough]
