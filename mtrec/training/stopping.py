"""SIGTERM during training: a stop after the step at hand, in place of a sudden death."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["on_sigterm"]


@contextmanager
def on_sigterm(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at each SIGTERM inside the block; the handler that was there before comes back after it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Only the main thread may hold a handler.
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
