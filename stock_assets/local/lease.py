"""Who needs the local store keeps it up; the last one to leave stops it.

A lease is a shared lock on a file, so it ends with its process, however that ends. Runs, pages and
commands in any number of processes share one server without knowing of each other, and nothing is
left running when all are gone. After a kill -9 of the only holder the server lives on until the
next lease ends, or `stock-assets down`.

A server that ends or is stopped while it is needed comes back on the same port: each holder looks
after it, and the first to notice starts it again. Clients that try for some seconds notice nothing.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from stock_assets.errors import LocalStackError
from stock_assets.local.locks import lock_if_free, lock_shared, locked
from stock_assets.local.own_folder import own_folder, writable_state
from stock_assets.local.processes import is_free, lives, own_processes, resume_group
from stock_assets.local.seaweed import (
    LocalServer,
    last_port,
    running_server,
    start_server,
    stop_server,
)

# Clients try again for some seconds.
_LOOK_SECONDS = 0.25
_LET_GO_SECONDS = 5
_HOLDERS = "holders.lock"
# One process at a time decides about starting and stopping.
_DECISION = "decision.lock"
_log = logging.getLogger(__name__)


@contextmanager
def store_lease(folder: Path, preferred_port: int) -> Iterator[LocalServer]:
    """The local S3 server on `folder`, started if it is not up, for as long as the block runs.

    Raises:
        LocalStackError: It can't be started, or the folder can't be written.
    """
    with writable_state(folder):
        own_folder(folder).chmod(0o700)
        holders = (folder / _HOLDERS).open("a")
    with holders:
        with writable_state(folder), locked(folder / _DECISION):
            wanted_back = None if lock_if_free(holders) else last_port(folder)
            server = _up(folder, wanted_back or preferred_port, wanted_back=bool(wanted_back))
            lock_shared(holders)
        try:
            with _kept_up(folder, server):
                yield server
        finally:
            with locked(folder / _DECISION):
                if lock_if_free(holders):
                    stop_server(folder)


def _up(folder: Path, port: int, *, wanted_back: bool) -> LocalServer:
    """The server that runs now, or a new one; under the lock alone.

    Args:
        folder: Of the store.
        port: Of a new one, or the next free port after it.
        wanted_back: Others know the port: a killed server may need a moment to let go of it.
    """
    server = running_server(folder)
    if server:
        resume_group(server.pid)
        if server.answers():
            return server
    stop_server(folder)  # hung, or still going down
    deadline = time.monotonic() + _LET_GO_SECONDS
    while wanted_back and not is_free(port) and time.monotonic() < deadline:
        time.sleep(0.05)
    return start_server(folder, port)


@contextmanager
def _kept_up(folder: Path, server: LocalServer) -> Iterator[None]:
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(folder, server, over), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(folder: Path, server: LocalServer, over: threading.Event) -> None:
    now = server
    while not over.wait(_LOOK_SECONDS):
        if _is_up(now.pid):
            continue
        with locked(folder / _DECISION):
            if over.is_set():
                return
            try:
                again = _up(folder, server.port, wanted_back=True)
            except (LocalStackError, OSError) as error:
                _log.warning(
                    "the local store ended and can't be started again: %s", error
                )  # one line
                return
        if again.pid != now.pid:
            where = "" if again.port == server.port else f" at port {again.port}: run again"
            _log.warning("the local store ended by itself and was started again%s", where)
        now = again


def _is_up(pid: int) -> bool:
    try:
        process = psutil.Process(pid)
        return lives(process) and process.status() != psutil.STATUS_STOPPED
    except psutil.Error:
        return False


def stop_leftover(folder: Path) -> bool:
    """Stops a server that nobody holds; whether there was one.

    Raises:
        LocalStackError: Somebody holds it; names the processes.
    """
    if not folder.exists():
        return False
    with (
        writable_state(folder),
        (folder / _HOLDERS).open("a") as holders,
        locked(folder / _DECISION),
    ):
        if not lock_if_free(holders):
            raise LocalStackError(
                f"the local store is in use by {_names_of_holders(folder)}; end that first"
            )
        return stop_server(folder)


def _names_of_holders(folder: Path) -> str:
    held = str(folder / _HOLDERS)
    found = own_processes(lambda process: held in {file.path for file in process.open_files()})
    names = []
    for process in found:
        arguments = [Path(argument).name for argument in process.cmdline()]
        names.append(f"process {process.pid} ({' '.join(arguments[:4])})")
    return ", ".join(names) or "a process of another user"
