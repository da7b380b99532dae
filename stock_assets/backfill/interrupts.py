"""Ctrl-C, wherever it strikes."""

import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def noted_interrupts() -> Iterator[Callable[[], bool]]:
    """Notes SIGINT and SIGTERM for the block; an error that follows one is a KeyboardInterrupt.

    Python raises in whatever code a signal strikes: Dagster makes its own error of it, Polars wraps
    it in a ComputeError, a callback of C code prints and forgets it, and Dagster drops one that
    comes while it ends a run. The operating system's note of the signal tells them all.

    Yields:
        Whether one has come since the block began.

    Raises:
        KeyboardInterrupt: In place of any error, once one has come.
        ValueError: Not in the main thread, where Python handles signals.
    """
    noted: set[int] = set()
    reading, writing = socket.socketpair()

    def interrupted() -> bool:
        with suppress(BlockingIOError):
            noted.update(reading.recv(4096))
        return not noted.isdisjoint((signal.SIGINT, signal.SIGTERM))

    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield interrupted
        except BaseException as error:
            if interrupted():
                raise KeyboardInterrupt from error
            raise
        finally:
            signal.set_wakeup_fd(before)
