"""The directory of a run: its configuration, its metrics, its checkpoints."""

import json
from pathlib import Path
from typing import Any

import yaml

from mtrec.config import Config, dump, load, to_yaml
from mtrec.errors import BundleError, ConfigError
from mtrec.store import append_line, atomic_file, sweep

__all__ = ["RunDirectory"]

# A run that goes on may still be told to log elsewhere.
_FREE = ("tracking", "run_dir")


class RunDirectory:
    """Paths and small files of one run.

    Raises:
        BundleError: from `existing`, if no run lies there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @classmethod
    def existing(cls, path: str | Path) -> "RunDirectory":
        run = cls(path)
        if not run.config_file.is_file():
            raise BundleError("There is no run here", where=path, expected="the directory of a run, such as runs/<name>", do="Train first: `mtrec train CONFIG`.")
        return run

    @property
    def config_file(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics_file(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def report_file(self) -> Path:
        return self.path / "report.json"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def export(self) -> Path:
        return self.path / "export"

    def config(self) -> Config:
        return load(self.config_file)

    def begin(self, config: Config) -> None:
        """Write the configuration of a new run, or see that a run which goes on has the same one.

        Raises:
            ConfigError: listing the keys that differ.
        """
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.path.chmod(0o700)
        sweep(self.path)
        sweep(self.checkpoints)
        if self.config_file.is_file():
            differing = _differences(dump(self.config()), dump(config))
            if differing:
                do = "Set them back, or give the run another name."
                raise ConfigError(f"The run was begun with another configuration: {'; '.join(differing)}", where=self.path, do=do)
            return
        with atomic_file(self.config_file) as aside:
            aside.write_text(to_yaml(config), encoding="utf-8")

    def log(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            append_line(self.metrics_file, line)

    def history(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl: step, epoch, name, value."""
        if not self.metrics_file.is_file():
            return []
        return [json.loads(line) for line in self.metrics_file.read_text(encoding="utf-8").splitlines()]

    def keep_lines(self, count: int) -> None:
        """Cut metrics.jsonl back to its first `count` lines: what was logged after the checkpoint will be logged again."""
        lines = self.metrics_file.read_bytes().splitlines(keepends=True) if self.metrics_file.is_file() else []
        if len(lines) != count:
            with atomic_file(self.metrics_file) as aside:
                aside.write_bytes(b"".join(lines[:count]))


def _differences(old: Any, new: Any, path: str = "") -> list[str]:
    if path in _FREE:
        return []
    if isinstance(old, dict) and isinstance(new, dict):
        keys = dict.fromkeys([*old, *new])
        return [text for key in keys for text in _differences(old.get(key), new.get(key), f"{path}.{key}".lstrip("."))]
    return [] if old == new else [f"{path} was {_short(old)}, is {_short(new)}"]


def _short(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=200).splitlines()[0][:80]
