import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtrec import config, registry
from mtrec.errors import ConfigError

PART = """
from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    depth: int = 2


class DeepBottom:
    pass
"""


@pytest.fixture
def plug_in(tmp_path: Path) -> Iterator[Path]:
    """A folder with one architecture, found beside the package's own until the test ends."""
    (tmp_path / "deep_bottom.py").write_text(PART, encoding="utf-8")
    before = list(registry._package("architectures").__path__)
    registry.add_folder("architectures", tmp_path)
    yield tmp_path
    registry._package("architectures").__path__[:] = before
    sys.modules.pop("mtrec.model.architectures.deep_bottom", None)


def run_with(architecture: object) -> config.Config:
    values: dict[str, Any] = {
        "name": "a",
        "log": {"source": "log.parquet", "split": {"by": "column", "column": "split"}},
        "features": {"numbers": ["price"]},
        "tasks": {"buy": {"label": "is_buy"}},
        "model": {"architecture": architecture},
    }
    return config.parse(values)


def test_one_file_adds_a_part(plug_in: Path) -> None:
    assert "deep_bottom" in registry.names("architectures")
    found, options = registry.part("architectures", "deep_bottom")
    assert found.__name__ == "DeepBottom"
    assert options().model_dump() == {"depth": 2}


def test_a_plug_in_is_configured_like_any_part(plug_in: Path) -> None:
    run = run_with({"kind": "deep_bottom", "depth": 3})
    assert config.resolve_part(run.model.architecture)[1].depth == 3
    assert config.dump(run_with("deep_bottom"))["model"]["architecture"] == {"kind": "deep_bottom", "depth": 2}
    with pytest.raises(ConfigError, match=r"model\.architecture\.dept: unknown key\. Did you mean 'depth'\?"):
        run_with({"kind": "deep_bottom", "dept": 3})


def test_a_name_that_is_taken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mmoe.py").write_text(PART, encoding="utf-8")
    with pytest.raises(ConfigError, match="mmoe are taken"):
        registry.add_folder("architectures", tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        registry.add_folder("architectures", tmp_path / "none")


@pytest.mark.parametrize(("body", "message"), [("", "lacks its options"), (PART.replace("DeepBottom", "Other"), "lacks its class")])
def test_a_file_that_is_no_part_is_named(plug_in: Path, body: str, message: str) -> None:
    (plug_in / "deep_bottom.py").write_text(body, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        registry.part("architectures", "deep_bottom")


def test_the_nearest_name_is_suggested() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'mmoe'\?"):
        registry.part("architectures", "mmeo")
    with pytest.raises(ConfigError, match=r"Did you mean 'losses'\?"):
        registry.names("loses")


@pytest.mark.parametrize("name", ["os.path", "mtrec.config", "..config", "nn/mlp", "/etc/passwd", ""])
def test_a_name_cannot_leave_its_folder(name: str) -> None:
    with pytest.raises(ConfigError, match="There is no"):
        registry.part("architectures", name)


@pytest.mark.parametrize(("folder", "name"), [(folder, name) for folder in registry.FOLDERS for name in registry.names(folder)])
def test_every_part_is_found_with_its_options(folder: str, name: str) -> None:
    found, options = registry.part(folder, name)
    assert found.__name__.lower() == name.replace("_", "")
    assert options.model_config.get("extra") == "forbid", "an unknown option must be refused"
    assert options.model_config.get("frozen") is True
