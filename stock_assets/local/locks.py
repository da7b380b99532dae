"""Locks between the processes of one machine."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stock_assets.local.own_folder import own_folder
from stock_assets.settings import Settings


@contextmanager
def one_at_a_time(settings: Settings, what: str) -> Iterator[None]:
    """Holds back other processes of this machine for the block; not reentrant.

    The system lets go of the lock when a process ends, however it ends.
    """
    with locked(own_folder(settings.state_folder) / f"{what}.lock"):
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The same by a file of its own."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
