"""The local store killed or stopped under a run: the run goes on, and nothing is left behind."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from stock_assets.local.processes import free_port
from stock_assets.local.seaweed import running_server
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings
from stock_assets_tests.conftest import make_home
from stock_assets_tests.e2e.test_command_line import (
    COMMAND,
    RANGE,
    environment,
    left_running,
    stock_assets,
)

PORT = 20_000 + os.getpid() % 1_000


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_run_goes_on_when_its_store_is_killed_or_stopped(tmp_path: Path, how: signal.Signals):
    home, port = make_home(tmp_path / "home"), free_port(PORT)
    process = subprocess.Popen(
        [COMMAND, "stage", "prepare"],
        cwd=home,
        env=environment(home, local_s3_port=port, last_session="2012-06-29"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
