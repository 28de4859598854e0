"""Multi-task mixture-of-experts recommenders: from a raw log to a served score.

Names are imported on first use, so that serving a model loads torch and little else.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = ["Recommender", "load_artifact"]

_HOMES = {"Recommender": "mtrec.recommender", "load_artifact": "mtrec.serving"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'mtrec' has no attribute {name!r}")
