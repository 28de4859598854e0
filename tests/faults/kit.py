"""Faults on purpose: damaged files, bombs, full disks, and processes that are killed at a chosen moment."""

import contextlib
import errno
import json
import os
import pickle
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Self

import pyarrow as pa
import pytest

ROOT = Path(__file__).parents[2]
# Imports once, then runs each command line in a fork; counts what the fork does on disk, and sends it signals before chosen ones of these calls.
SERVER = """
import json, mmap, os, sys
import mtrec.cli, mtrec.config, mtrec.console, mtrec.jobs.train, mtrec.jobs.prepare
from mtrec import store

count = mmap.mmap(-1, 8)

def watch(moments):
    def counted(real):
        def call(*arguments, **options):
            number = int.from_bytes(count[:8], "little") + 1
            count[:8] = number.to_bytes(8, "little")
            if number in moments:
                os.kill(os.getpid(), moments[number])
            return real(*arguments, **options)
        return call
    for name in ("fsync", "mkdir", "open", "replace", "rmdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))

for line in sys.stdin:
    words, moments, log = json.loads(line)
    count[:8] = bytes(8)
    child = os.fork()
    if child == 0:
        told = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(told, 1)
        os.dup2(told, 2)
        watch({int(number): what for number, what in moments.items()})
        sys.argv = ["mtrec", *words]
        code = 0
        try:
            mtrec.cli.main()
        except SystemExit as left:
            code = left.code or 0
        sys.stdout.flush()
        os._exit(code)
    print(child, flush=True)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(json.dumps([status, int.from_bytes(count[:8], "little")]), flush=True)
"""


class Commands:
    """Command lines of mtrec, each in a process of its own that has the imports behind it."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "ignore", "-c", SERVER]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, cwd=folder, env=environment)
        self.log = folder / "told.txt"
        self.operations = self.pid = 0

    def start(self, *words: str | Path, moments: Mapping[int, int] | None = None) -> Self:
        """Begin a command; `moments` are signals that it gets, by the number of the call on disk before which they come."""
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps([[str(word) for word in words], moments or {}, str(self.log)]) + "\n")
        self.pid = int(self.server.stdout.readline())
        return self

    def wait(self, seconds: float = 120.0) -> int | None:
        """The exit code, negative after a signal; None if the command has not ended by then."""
        assert self.server.stdout is not None
        if not select.select([self.server.stdout], [], [], seconds)[0]:
            return None
        code, self.operations = json.loads(self.server.stdout.readline())
        return int(code)

    def run(self, *words: str | Path, moments: Mapping[int, int] | None = None) -> int | None:
        return self.start(*words, moments=moments).wait()

    def close(self) -> None:
        self.server.kill()
        self.server.communicate()


def kill_at(process: Commands, moment: float) -> int | None:
    """SIGKILL after `moment` seconds; the exit code, whichever comes first."""
    code = process.wait(moment)
    if code is None:
        os.kill(process.pid, signal.SIGKILL)
        code = process.wait()
    return code


def flip_bit(path: Path, rng: Random) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, rng: Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def poison(table: pa.Table, column: str, value: Any, rows: Sequence[int] = (0,)) -> pa.Table:
    """The table with another value in some rows of a column."""
    values = table[column].to_pylist()
    for row in rows:
        values[row] = value
    return table.set_column(table.schema.get_field_index(column), column, pa.array(values, table[column].type))


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int = 0, number: int = errno.ENOSPC) -> None:
    """From the call after the first `after` on, the disk refuses what `mtrec.store` asks of it."""
    from mtrec import store

    seen = iter(range(1 << 60))

    def refusing(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(seen) >= after:
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        return call

    for module, name in ((store.os, "fsync"), (store.os, "replace"), (store.os, "open"), (store.tempfile, "mkdtemp"), (store.tempfile, "mkstemp")):
        monkeypatch.setattr(module, name, refusing(getattr(module, name)))


@contextlib.contextmanager
def small_files(largest: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: a refusal that reaches native writers too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def read_only(path: Path) -> Iterator[bool]:
    """A directory that refuses new entries; gives whether it does so to us: it does not to root."""
    path.chmod(0o500)
    try:
        yield not os.access(path, os.W_OK)
    finally:
        path.chmod(0o700)


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


def bomb(path: Path) -> Path:
    """Put a pickle in place of a file; the marker that is given comes to be where somebody unpickles it."""
    marker = path.parent.parent / f"{path.name}.exploded"
    path.write_bytes(pickle.dumps(_Bomb(marker)))
    return marker


def blocked_modules(names: Sequence[str]) -> str:
    """The beginning of a program that cannot import these."""
    return f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {tuple(names)!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""
