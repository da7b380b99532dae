"""A process that does the daily job again and again keeps no more after it than before.

`make soak` does it 2,000 times; here the same command does it often enough to see a file a run.
"""

import json
import os
import subprocess
import sys

from stock_assets_tests.conftest import CHECKOUT


def test_daily_runs_leave_no_open_file_thread_temporary_file_or_memory():
    line = [sys.executable, "-m", "stock_assets_tests.benchmarks.soak", "--runs", "24"]
    environment = os.environ | {"PYTHONPATH": str(CHECKOUT), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2_000:] + done.stderr[-2_000:]
    *readings, found = map(json.loads, done.stdout.splitlines())
    assert [reading["runs"] for reading in readings] == list(range(1, 25))
    assert found["faults"] == []
    # Each run is written down, and that is all that grows.
    assert 50_000 < found["database_bytes"] < 1_000_000
