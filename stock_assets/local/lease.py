"""Who needs the local store keeps it up; the last one to leave stops it.

A lease is a shared lock on a file, so it ends with its process, however that ends. Runs, pages and
commands in any number of processes share one server without knowing of each other, and nothing is
left running when all are gone. After a kill -9 of the only holder the server lives on until the
next lease ends, or `stock-assets down`.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stock_assets.errors import LocalStackError
from stock_assets.local.seaweed import LocalServer, running_server, start_server, stop_server


@contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """One process at a time decides about starting and stopping."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _nobody_else(holders: IO[str]) -> bool:
    try:
        fcntl.flock(holders, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def store_lease(folder: Path, preferred_port: int) -> Iterator[LocalServer]:
    """The local S3 server on `folder`, started if it is not up, for as long as the block runs.

    Raises:
        LocalStackError: It can't be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    decision = folder / "decision.lock"
    with (folder / "holders.lock").open("a") as holders:
        with _exclusive(decision):
            server = running_server(folder)
            if server and not server.answers():
                stop_server(folder, server)  # hung, or still going down
                server = None
            server = server or start_server(folder, preferred_port)
            fcntl.flock(holders, fcntl.LOCK_SH)
        try:
            yield server
        finally:
            with _exclusive(decision):
                if _nobody_else(holders):
                    stop_server(folder, server)


def stop_leftover(folder: Path) -> bool:
    """Stops a server that nobody holds; whether there was one.

    Raises:
        LocalStackError: Somebody holds it.
    """
    if not folder.exists():
        return False
    with (folder / "holders.lock").open("a") as holders, _exclusive(folder / "decision.lock"):
        server = running_server(folder)
        if server is None:
            return False
        if not _nobody_else(holders):
            raise LocalStackError(
                "the local store is in use by a run or page of this checkout; end that first"
            )
        stop_server(folder, server)
        return True
