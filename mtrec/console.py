"""What a person sees while work goes on: a bar on a terminal, plain lines elsewhere; rows per second at the end of each stage."""

import os
import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Stages", "console"]

# A pipe has no width of its own; tables need some.
console = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 120)


class Stages:
    """Counts the rows of each stage; call it with the stage's name and the rows just done.

    A stage begins where the one before it ended, or where it is called with no rows: what lies between is not its time.
    """

    def __init__(self) -> None:
        self._stage: str | None = None
        self._silent = os.environ.get("RANK", "0") != "0"  # Of several ranks, the first speaks.
        self._rows, self._shown = 0, 0.0
        self._started = self._last = time.perf_counter()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, console=console, transient=True) if console.is_terminal and not self._silent else None

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._close()
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, rows: int) -> None:
        now = time.perf_counter()
        if stage != self._stage:
            self._close()
            self._stage, self._rows, self._started = stage, 0, now if rows == 0 else self._last
            if self._bar is not None:
                self._bar.add_task(stage, total=None)
        self._rows, self._last = self._rows + rows, now
        if self._bar is not None and now - self._shown > 0.2:
            self._shown = now
            self._bar.update(self._bar.task_ids[-1], description=f"{stage}: {self._rows:,} rows")

    def _close(self) -> None:
        if self._stage is None or self._silent:
            return
        seconds = max(self._last - self._started, 1e-9)
        console.print(f"{self._stage}: {self._rows:,} rows in {seconds:.1f} s, {self._rows / seconds:,.0f} rows per second", highlight=False)
        if self._bar is not None:
            self._bar.remove_task(self._bar.task_ids[-1])
        self._stage = None
