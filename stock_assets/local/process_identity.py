"""Which process of which machine: told apart even where numbers and host names are used twice."""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from stock_assets.local.processes import lives

_BOOT = Path("/proc/sys/kernel/random/boot_id")
_NUMBERS = Path("/proc/self/ns/pid")
# psutil gives whole seconds for when the machine started; no number is used again within two.
_SAME_START_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process.

    `machine`: the boot and the container in which its number counts; empty where that is unknown.
    `started`: seconds from the start of the machine to its own, which no clock that is set changes.
    """

    machine: str
    pid: int
    started: float

    def is_gone(self) -> bool:
        """Whether it certainly runs no more; of another machine's nothing is certain."""
        if not self.machine or self.machine != this_machine():
            return False
        try:
            process = psutil.Process(self.pid)
            return not lives(process) or (
                abs(_started(process) - self.started) > _SAME_START_SECONDS
            )
        except psutil.NoSuchProcess:
            return not psutil.pid_exists(self.pid)  # another user's may be hidden
        except psutil.Error:
            return False


def this_process() -> ProcessIdentity:
    return ProcessIdentity(this_machine(), os.getpid(), _started(psutil.Process()))


def this_machine() -> str:
    try:
        return f"{_BOOT.read_text().strip()} {_NUMBERS.readlink()}"
    except OSError:
        return ""  # no Linux


def _started(process: psutil.Process) -> float:
    return float(process.create_time() - psutil.boot_time())
