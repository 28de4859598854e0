"""Killed at any moment, in prepare, in mid-epoch, while a checkpoint or the report is written: the same command goes on to the same bits."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mtrec import store
from tests.faults.commands import Commands
from tests.faults.kit import kill_at

OVERRIDES = ("training.epochs=6", "training.early_stopping=null", "training.checkpoints.every_steps=3", "training.batch_size=100")
SIGKILL, SIGTERM = int(signal.SIGKILL), int(signal.SIGTERM)


class Killed:
    """Runs of one configuration in folders of their own, so that each prepares its log itself."""

    def __init__(self, tiny: Any, folder: Path) -> None:
        self.folder, self.config = folder, tiny.file("killed")
        self.commands = Commands(folder)
        begin = time.monotonic()
        assert self.run("unbroken") == 0, self.told()
        self.seconds = time.monotonic() - begin
        self.operations = self.commands.operations
        self.unbroken = self.state("unbroken")

    def words(self, name: str) -> list[str]:
        return ["train", str(self.config), *OVERRIDES, f"run_dir={self.folder / name / 'run'}"]

    def run(self, name: str, moments: dict[int, int] | None = None) -> int | None:
        return self.commands.run(*self.words(name), moments=moments)

    def told(self) -> str:
        return self.commands.log.read_text()

    def state(self, name: str) -> dict[str, bytes]:
        """All files but the configuration, which names the folder."""
        run = self.folder / name
        files = [file for file in sorted(run.rglob("*")) if file.is_file() and file.name != "config.yaml"]
        return {file.relative_to(run).as_posix(): file.read_bytes() for file in files}

    def assert_ends_alike(self, name: str) -> None:
        assert self.run(name) == 0, self.told()
        # After the last checkpoint was written, an earlier one may be left whole or half removed.
        found = {place: content for place, content in self.state(name).items() if "/step-" not in place or place in self.unbroken}
        assert found.keys() == self.unbroken.keys()
        assert [place for place, content in found.items() if content != self.unbroken[place]] == []
        shutil.rmtree(self.folder / name)


@pytest.fixture(scope="module")
def killed(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    runs = Killed(tiny, tmp_path_factory.mktemp("killed"))
    yield runs
    runs.commands.close()


def kill_before_calls(killed: Killed, name: str, *moments: int) -> None:
    for moment in moments:
        code = killed.run(name, {moment: SIGKILL})
        assert code in (-SIGKILL, 0), killed.told()
    killed.assert_ends_alike(name)


@pytest.mark.parametrize("part", ["prepare", "train", "report"])
def test_kill_9_before_a_random_call_on_the_disk(killed: Killed, part: str) -> None:
    """Before a call that makes, syncs, renames or removes a file."""
    first, last = {"prepare": (14, 40), "train": (40, killed.operations - 30), "report": (killed.operations - 30, killed.operations)}[part]
    kill_before_calls(killed, part, Random(part).randrange(first, last))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_kill_9_twice_before_random_calls_on_the_disk(killed: Killed, seed: int) -> None:
    rng = Random(seed)
    kill_before_calls(killed, f"calls-{seed}", rng.randrange(killed.operations), rng.randrange(killed.operations))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(30))
def test_kill_9_at_a_random_time(killed: Killed, seed: int) -> None:
    rng, name = Random(seed), f"times-{seed}"
    for _ in range(2):
        code = kill_at(killed.commands.start(*killed.words(name)), rng.random() * killed.seconds)
        assert code in (-SIGKILL, 0), killed.told()
    killed.assert_ends_alike(name)


@pytest.mark.parametrize("call", ["early", "late"])
def test_a_second_sigterm_while_the_checkpoint_is_written_ends_at_once(killed: Killed, call: str) -> None:
    """The first comes before one call on the disk, the second a few calls later, where the checkpoint that the first asked for is half written."""
    name = f"terms-{call}"
    moment = killed.operations // (4 if call == "early" else 2)
    assert killed.run(name, {moment: SIGTERM, moment + 9: SIGTERM}) == 143, killed.told()
    assert killed.commands.operations < killed.operations - 20
    killed.assert_ends_alike(name)


def test_what_is_being_written_is_not_swept(tmp_path: Path) -> None:
    """Runs that share a prepared log may begin at once: one must not take the other's half for what a killed one left."""
    left = tmp_path / ".bundle.aside-left"
    left.mkdir()
    (left / "half").write_bytes(b"half")
    with store.Bundle.create(tmp_path / "bundle", "kind") as bundle:
        (bundle.path / "whole").write_bytes(b"whole")
        assert store.sweep(tmp_path) == [left]
        assert (bundle.path / "whole").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
