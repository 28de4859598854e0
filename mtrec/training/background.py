"""Work that goes on beside training, one piece at a time; what goes wrong in it is raised by who asks next."""

import threading
from collections.abc import Callable

__all__ = ["Background"]


class Background:
    """Runs one piece of work at a time in a thread of its own.

    >>> background, done = Background(), []
    >>> background.start(lambda: done.append("written"))
    >>> background.wait()
    >>> done
    ['written']
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin a piece of work, once the one before is done.

        Raises:
            Exception: what the work before raised.
        """
        self.wait()
        # Not a daemon: a process that ends in an orderly way finishes what it writes.
        self._thread = threading.Thread(target=self._run, args=(work,), name="mtrec-background")
        self._thread.start()

    def wait(self) -> None:
        """Wait for the work at hand.

        Raises:
            Exception: what it raised.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001  Raised again by `wait`.
            self._error = error
