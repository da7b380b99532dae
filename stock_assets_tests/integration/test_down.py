"""`stock-assets down` beside what serves until Ctrl-C, with real processes in place of pages."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stock_assets.commands.down import stop_all
from stock_assets.local.processes import is_running
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT

# What `ui` does around its pages, with a page that sleeps.
_SERVER = """
import sys, time
from pathlib import Path
from stock_assets.commands.pages import pages_folder, terminated_like_interrupted
from stock_assets.local.processes import running
from stock_assets.settings import Settings
folder = pages_folder(Settings(home=Path(sys.argv[1])))
page = [sys.executable, "-c", "import time; time.sleep(300)"]
with terminated_like_interrupted(), running("dagster", page, folder, {}, folder.parent) as process:
    try:
        print(process.pid, flush=True)  # whoever reads it may end us from here on
        while process.poll() is None:
            time.sleep(0.1)
        sys.exit(f"ended with code {process.returncode}")
    except KeyboardInterrupt as why:
        print(why, flush=True)
"""


def _served(home: Path) -> tuple["subprocess.Popen[str]", int]:
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVER, str(home)],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("stopped", [False, True])
def test_down_ends_who_serves_and_that_one_says_so(tmp_path: Path, stopped: bool):
    settings = Settings(home=tmp_path)
    process, page = _served(tmp_path)
    if stopped:
        os.kill(process.pid, signal.SIGSTOP)
        os.kill(page, signal.SIGSTOP)
    assert stop_all(settings) == ["dagster"]
    said, _ = process.communicate(timeout=10)
    assert (process.returncode, said) == (0, "ended from outside (`stock-assets down`, SIGTERM)\n")
    assert not is_running(page)
    assert stop_all(settings) == []


def test_down_ends_what_a_kill_left_and_nothing_of_another_checkout(tmp_path: Path):
    process, page = _served(tmp_path / "here")
    other, others_page = _served(tmp_path / "there")
    process.kill()
    process.wait()
    assert stop_all(Settings(home=tmp_path / "here")) == ["dagster"]
    assert not is_running(page)
    assert is_running(others_page)
    other.terminate()
    assert other.wait(timeout=20) == 0
    assert not is_running(others_page)
