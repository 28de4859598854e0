"""Command lines of mtrec as processes that begin at once, and can be stopped between two calls on the disk."""

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

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
