"""Every configuration of the repository is right, says only what differs from the defaults, and survives being written out."""

from pathlib import Path

import pytest
import yaml

from mtrec import config

FILES = sorted((Path(__file__).parents[1] / "configs").rglob("*.y*ml"))


def test_there_are_configurations() -> None:
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_read_and_written_back_equal(path: Path) -> None:
    run = config.load(path)
    assert config.dump(config.parse(config.dump(run))) == config.dump(run)
    assert config.parse(yaml.safe_load(config.to_yaml(run))) == config.parse(config.dump(run))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_named_like_its_file(path: Path) -> None:
    assert config.load(path).name == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_its_paths_are_relative(path: Path) -> None:
    source = config.load(path).log.source
    assert not [one for one in ([source] if isinstance(source, str) else source) if Path(one).is_absolute()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_key_given_twice_is_refused(path: Path, tmp_path: Path) -> None:
    twice = tmp_path / path.name
    twice.write_text(path.read_text(encoding="utf-8") + "\nname: again\n", encoding="utf-8")
    with pytest.raises(config.ConfigError, match="stands twice"):
        config.load(twice)
