"""The machine and versions that a result was measured with."""

import os
import platform
from importlib.metadata import version

__all__ = ["describe"]


def describe() -> str:
    names = ("torch", "torchrec", "fbgemm-gpu-cpu", "numpy", "scikit-learn", "lightgbm")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {versions}"
