"""Processes of the local stack: started in a group of their own, ended as a group, found again."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from stock_assets.errors import LocalStackError

HOST = "127.0.0.1"
_STOP_SECONDS = 15


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


def command_line(pid: int) -> str:
    """The arguments of a running process; empty where there is none."""
    listed = subprocess.run(
        ["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip()


def is_running(pid: int) -> bool:
    """Whether the process lives; a child of ours that has ended is reaped by this."""
    with suppress(ChildProcessError):
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def stop_group(pid: int, patience: float = _STOP_SECONDS) -> None:
    """Ends a process and all that it started in its group; by force when patience is over.

    Raises:
        LocalStackError: It survives even that.
    """
    for how, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        deadline = time.monotonic() + seconds
        with suppress(ProcessLookupError):
            os.killpg(pid, how)
        while time.monotonic() < deadline:
            # The leader may go first and leave the others behind for a moment.
            is_running(pid)
            try:
                os.killpg(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.05)
    raise LocalStackError(f"process group {pid} does not end; kill it by hand")


@contextmanager
def running(
    name: str, command: list[str], folder: Path, environment: Mapping[str, str], cwd: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block runs; its output goes to `folder/name.log`.

    While it runs `folder/name.json` tells its number, for `stop_recorded` after a kill of ours.
    """
    folder.mkdir(parents=True, exist_ok=True)
    record = folder / f"{name}.json"
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,  # Ctrl-C reaches us alone, and we end things in order
        )
    record.write_text(json.dumps({"pid": process.pid, "command": command}))
    try:
        yield process
    finally:
        stop_group(process.pid)
        record.unlink(missing_ok=True)


def stop_recorded(folder: Path) -> list[str]:
    """Ends the processes recorded in a folder that still are what they were; their names."""
    stopped = []
    for record in sorted(folder.glob("*.json")):
        entry = json.loads(record.read_text())
        # Numbers of processes are used again: only one with our arguments is ours.
        if entry["command"][-1] in command_line(entry["pid"]):
            stop_group(entry["pid"])
            stopped.append(record.stem)
        record.unlink()
    return stopped
