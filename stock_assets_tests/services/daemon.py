"""Dagster's programs as a person starts them, in a folder of their own."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from stock_assets.local.processes import stop_group


def binary(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))


def start_daemon(home: Path, stack: ExitStack) -> "subprocess.Popen[bytes]":
    """The daemon with the code of the folder's workspace.yaml; ended with the stack."""
    log = stack.enter_context((home / "daemon.log").open("ab"))
    daemon = subprocess.Popen(
        [binary("dagster-daemon"), "run", "-w", "workspace.yaml"],
        cwd=home,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    stack.callback(stop_group, daemon.pid)
    return daemon
