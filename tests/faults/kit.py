"""Faults on purpose: damaged files, bombs, full disks, and processes that are killed at a chosen moment."""

import contextlib
import errno
import os
import pickle
import resource
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from tests.faults.commands import Commands


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


@contextlib.contextmanager
def full_disk(after: int = 0, number: int = errno.ENOSPC) -> Iterator[None]:
    """From the call after the first `after` on, the disk refuses what `mtrec.store` asks of it to write."""
    seen = iter(range(1 << 60))

    def refusing(real: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            reads = real is opens and not arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not reads and next(seen) >= after:
                raise OSError(number, os.strerror(number))
            return real(*arguments, **options)

        return call

    opens = os.open
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((os, "fsync"), (os, "replace"), (os, "open"), (tempfile, "mkdtemp"), (tempfile, "mkstemp")):
            patch.setattr(module, name, refusing(getattr(module, name)))
        yield


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
