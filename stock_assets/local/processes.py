"""Processes of the local stack: started in a group of their own, ended as a group, found again.

They are found by what they are (arguments, environment), never by a number that was written down:
files can be lost, and numbers are used again.
"""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from stock_assets.errors import LocalStackError
from stock_assets.local.own_folder import own_folder, writable_state

HOST = "127.0.0.1"
LOOPBACK = (HOST, "localhost", "::1")
"""The names of this machine that nobody reaches from elsewhere."""
_STOP_SECONDS = 15
# Pages and monitor end one part after the other.
_OWNER_SECONDS = 90
# In the environment of a part and of all that it starts: who started it, and its log.
_STARTED = "_STOCK_ASSETS_STARTED"


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        # As servers do: a port whose last connection is just closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError:
            return False
    return True


def free_port(preferred: int) -> int:
    """The preferred port, or the next free one after it.

    Raises:
        LocalStackError: None of the next hundred.
    """
    for port in range(preferred, preferred + 100):
        if is_free(port):
            return port
    raise LocalStackError(f"no free port at {HOST}:{preferred}..{preferred + 99}; free one")


def accepts(where: int | str) -> bool:
    """Whether something listens on the port, or on the socket of that path."""
    kind = socket.AF_UNIX if isinstance(where, str) else socket.AF_INET
    with suppress(OSError), socket.socket(kind) as probe:
        probe.settimeout(1)
        probe.connect(where if isinstance(where, str) else (HOST, where))
        return True
    return False


def own_processes(wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """This user's running processes that a test takes; one that can't be looked into is not."""
    found = []
    for process in psutil.process_iter():
        # Any may end between being listed and being looked into; `os` says so in its own way.
        with suppress(psutil.Error, ProcessLookupError):
            if wanted(process) and process.uids().effective == os.geteuid() and lives(process):
                found.append(process)
    return found


def lives(process: psutil.Process) -> bool:
    """Whether it still runs; one that has ended and waits for its parent to notice does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    return False


def is_running(pid: int) -> bool:
    """The same of a number; a child of ours that has ended is reaped by this."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    with suppress(psutil.NoSuchProcess):
        return lives(psutil.Process(pid))
    return False


def resume_group(pid: int) -> None:
    """Lets a process and its group go on if they were stopped (SIGSTOP, Ctrl-Z)."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGCONT)


def stop_group(pid: int, patience: float = _STOP_SECONDS) -> None:
    """Ends a process and all that it started in its group; by force when patience is over.

    Raises:
        LocalStackError: It survives even that.
    """
    for how, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + seconds
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, how)
        resume_group(pid)  # a stopped process acts on no SIGTERM
        while time.monotonic() < deadline:
            # The leader may go first and leave the others behind for a moment.
            if not is_running(pid) and not _members(pid):
                return
            time.sleep(0.05)
    raise LocalStackError(f"process group {pid} does not end; end it with: kill -9 -- -{pid}")


def _members(group: int) -> bool:
    """Whether anything in the group still runs: what only waits for its parent does not."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return bool(own_processes(lambda process: os.getpgid(process.pid) == group))


@contextmanager
def running(
    name: str, command: list[str], folder: Path, environment: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block runs; its output goes to `folder/name.log`.

    Its environment tells who started it, for `stop_started` while we run or after a kill of ours.

    Raises:
        LocalStackError: The folder can't be written.
    """
    log = folder / f"{name}.log"
    with writable_state(own_folder(folder)):
        output = log.open("wb")
    with output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment, _STARTED: f"{os.getpid()}:{log}"},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end things in order
        )
    try:
        yield process
    finally:
        stop_group(process.pid)


def stop_started(folder: Path) -> list[str]:
    """Ends what `running` started with logs in a folder, and who started it; the parts' names.

    The starter is asked first: it ends its parts in order, and itself. What it leaves behind, or
    was left behind by its kill, is ended here.
    """
    parts = _started(folder)
    names = {log.stem for _, _, log in parts}
    owners = {owner for _, owner, _ in parts if owner and owner.pid != os.getpid()}
    for end, seconds in ((psutil.Process.terminate, _OWNER_SECONDS), (psutil.Process.kill, 10)):
        for owner in filter(lives, owners):
            with suppress(psutil.NoSuchProcess):
                end(owner)
                owner.resume()
        deadline = time.monotonic() + seconds
        while any(map(lives, owners)) and time.monotonic() < deadline:
            time.sleep(0.05)
    for part, _, log in _started(folder):
        names.add(log.stem)
        with suppress(ProcessLookupError):
            stop_group(os.getpgid(part.pid))
    return sorted(names)


def _started(folder: Path) -> list[tuple[psutil.Process, psutil.Process | None, Path]]:
    """Processes that `running` started, with those that they started; each with its starter."""
    parts = []
    for process in own_processes(lambda process: _STARTED in process.environ()):
        with suppress(psutil.Error):
            pid, _, log = process.environ()[_STARTED].partition(":")
            if Path(log).parent == folder:
                parts.append((process, _starter(int(pid), process), Path(log)))
    return parts


def _starter(pid: int, part: psutil.Process) -> psutil.Process | None:
    """The process of a number, unless it began after what it is said to have started."""
    with suppress(psutil.Error):
        owner = psutil.Process(pid)
        if lives(owner) and owner.create_time() <= part.create_time():
            return owner
    return None
