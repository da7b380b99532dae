"""The program at a terminal: a live bar soon after the start, and what Ctrl-C leaves of it."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from stock_assets_tests.conftest import make_home
from stock_assets_tests.e2e.test_command_line import COMMAND, RANGE, environment, left_running

COLUMNS = 60
# Little history: what is shown is the same.
SMALL = {"first_session": "2012-03-01", "model_family": "ridge"}


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, home: Path, *arguments: str) -> None:
        self._home = home
        self.start = time.monotonic()
        self.shown = ""
        self._process, self._fd = pty.fork()
        if not self._process:
            os.chdir(home)
            values = environment(home, **SMALL) | {"TERM": "xterm", "COLUMNS": str(COLUMNS)}
            os.execve(COMMAND, [COMMAND, *arguments], values)  # noqa: S606  # there is none
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))

    def until(self, seen: Callable[[str], bool], seconds: float = 120) -> float:
        """Reads until something is seen, or the command ended; the seconds since the start."""
        deadline = time.monotonic() + seconds
        while not seen(self.shown):
            assert time.monotonic() < deadline, self.shown[-2000:]
            if select.select([self._fd], [], [], 0.2)[0]:
                try:
                    self.shown += os.read(self._fd, 65_536).decode(errors="replace")
                except OSError:  # the other side is closed
                    break
        return time.monotonic() - self.start

    def ctrl_c(self) -> None:
        os.write(self._fd, b"\x03")

    def end(self) -> int:
        """The exit code, once it has ended."""
        self.until(lambda _shown: False)
        return os.waitstatus_to_exitcode(os.waitpid(self._process, 0)[1])

    def kill(self) -> None:
        try:
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        os.close(self._fd)


def plain(shown: str) -> str:
    """Without colours and moves of the cursor: every line that ever stood there."""
    moves = re.sub(r"\r|\x1b\[[0-9]*[AK]", "\n", shown)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", moves)


def test_bars_stand_at_a_terminal_and_ctrl_c_leaves_one_line(tmp_path: Path):
    home = make_home(tmp_path / "home")
    terminal = Terminal(home, "run", *RANGE)
    try:
        # Reading the program alone takes as long as ten of this; the bar comes before that.
        first = terminal.until(lambda shown: "at work" in shown)
        stage = terminal.until(lambda shown: "prices" in shown)
        assert first < stage / 2
        # A search is within a step, whose standard error Dagster would turn to a file.
        terminal.until(lambda shown: re.search(r"1/1 trials", plain(shown)) is not None)
        terminal.ctrl_c()
        assert terminal.end() == 1
    finally:
        terminal.kill()
    lines = plain(terminal.shown).splitlines()
    for stage in ("prices", "features", "training"):
        assert [line for line in lines if re.search(rf"^{stage} .* \d+/\d+ [sm]", line)], lines
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert "Traceback" not in terminal.shown
    # The bars are wiped, and the cursor is back.
    assert terminal.shown.endswith(
        "\x1b[2K\r\nError: interrupted; what was stored stays, run again\r\n"
    )
    assert "\x1b[?25h" in terminal.shown
    assert left_running(home) == []
    assert statuses(home) == {"raw_prices": "SUCCESS", "features": "SUCCESS", "months": "CANCELED"}


def statuses(home: Path) -> dict[str, str]:
    """Of the newest run of each asset; of the months' assets as one."""
    found: dict[str, str] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for run in instance.get_runs():
                assets = {key.path[-1] for key in run.asset_selection or ()}
                name = assets.pop() if len(assets) == 1 else "months"
                found.setdefault(name, run.status.value)
    return found
