"""Looking among processes, of which any may end in the meantime."""

import os
import subprocess
import sys

import psutil

from stock_assets.local.processes import own_processes


def test_a_process_that_ends_while_it_is_looked_into_is_passed_over():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def is_ours(process: psutil.Process) -> bool:
        if process.pid == child.pid:
            child.kill()
            child.wait()
        return os.getpgid(process.pid) == os.getpgid(0)

    assert child.pid not in {process.pid for process in own_processes(is_ours)}
