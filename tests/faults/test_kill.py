"""Killed at any moment, in prepare, in mid-epoch, while a checkpoint or the report is written: the same command goes on to the same bits."""

import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

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
        """All files, but for the configuration, which names the folder, and for the rest of a checkpoint that was being removed."""
        run = self.folder / name
        found = {file.relative_to(run).as_posix(): file for file in sorted(run.rglob("*")) if file.is_file() and file.name != "config.yaml"}
        return {
            place: file.read_bytes()
            for place, file in found.items()
            if "/step-" not in place or (file.parent / "manifest.json").exists()
        }

    def assert_ends_alike(self, name: str) -> None:
        assert self.run(name) == 0, self.told()
        found = self.state(name)
        assert found.keys() == self.unbroken.keys()
        assert [file for file, content in found.items() if content != self.unbroken[file]] == []
        shutil.rmtree(self.folder / name)


@pytest.fixture(scope="module")
def killed(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    runs = Killed(tiny, tmp_path_factory.mktemp("killed"))
    yield runs
    runs.commands.close()


def kill_before_random_calls(killed: Killed, seed: int) -> None:
    """Before a call that makes, syncs, renames or removes a file, and again somewhere in what is left."""
    rng, name = Random(seed), f"calls-{seed}"
    for _ in range(2):
        code = killed.run(name, {rng.randrange(1, killed.operations): SIGKILL})
        assert code in (-SIGKILL, 0), killed.told()
    killed.assert_ends_alike(name)


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_before_a_random_call_on_the_disk(killed: Killed, seed: int) -> None:
    kill_before_random_calls(killed, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3, 33))
def test_kill_9_before_many_random_calls_on_the_disk(killed: Killed, seed: int) -> None:
    kill_before_random_calls(killed, seed)


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
