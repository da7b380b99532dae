"""The promise of integration/test_killed_backfill.py where the local store is what is killed."""

import os
import signal
import time
from pathlib import Path

import pytest

from stock_assets.local.seaweed import LocalServer, running_server
from stock_assets_tests.backfilled import assert_nothing_twice_or_open, comparable
from stock_assets_tests.integration.test_killed_backfill import FIRST, LAST, Backfills, backfills

__all__ = ["backfills"]


def test_a_backfill_goes_on_when_its_local_store_is_killed_or_stopped(backfills: Backfills):
    changes = {"store_uri": None, "local_s3_port": 12_000 + os.getpid() % 1_000 * 5}
    settings = backfills.settings("store").model_copy(update=changes)
    folder = settings.state_folder / "store"
    pid = backfills.nursery.start(settings, FIRST, LAST)
    ports = set()
    for how in (signal.SIGKILL, signal.SIGSTOP, signal.SIGKILL):
        server = _up_for(folder, backfills.seconds / 10)
        ports.add(server.port)
        os.kill(server.pid, how)
    backfills.nursery.wait(pid)
    assert len(ports) == 1
    assert running_server(folder) is None
    left = comparable(settings)
    assert left.keys() == backfills.undisturbed.keys()
    for key, value in backfills.undisturbed.items():
        assert left[key] == value, key
    assert_nothing_twice_or_open(settings)


def _up_for(folder: Path, seconds: float) -> LocalServer:
    """The server of a folder, once it serves, so many seconds later."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        server = running_server(folder)
        if server and server.answers():
            time.sleep(seconds)
            return server
        time.sleep(0.1)
    pytest.fail("no server came up")
