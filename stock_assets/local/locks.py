"""Locks between the processes of one machine: of a file, by the system.

It lets go of them when a process ends, however that ends.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stock_assets.local.own_folder import own_folder
from stock_assets.settings import Settings


@contextmanager
def one_at_a_time(settings: Settings, what: str) -> Iterator[None]:
    """Holds back other processes of this machine for the block; not reentrant."""
    with locked(own_folder(settings.state_folder) / f"{what}.lock"):
        yield


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The same by a file of its own."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def lock_shared(file: IO[str]) -> None:
    """With others that do; in place of a lock that the file has."""
    fcntl.flock(file, fcntl.LOCK_SH)


def lock_if_free(file: IO[str]) -> bool:
    """For oneself, if nobody else has a lock on it; whether that was so."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
