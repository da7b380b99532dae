"""Debian's Redis on loopback, with a password and nothing on disk, for as long as a block runs."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stock_assets.local.processes import HOST, accepts, free_port
from stock_assets_tests.waiting import until

PASSWORD = "hunter2-of-redis"


@contextmanager
def redis_server() -> Iterator[str]:
    """Its URL."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: apt-get install redis-server"
    port = free_port(26_000 + os.getpid() % 1_000)
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        # From a file: every user of the machine can read arguments.
        (Path(folder) / "redis.conf").write_text(
            f"bind {HOST}\nport {port}\nrequirepass {PASSWORD}\nsave ''\nappendonly no\n"
        )
        process = subprocess.Popen(
            [program, "redis.conf"], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
        )
        try:
            until("Redis", lambda: accepts(port), 30)
            yield f"redis://:{PASSWORD}@{HOST}:{port}/0"
        finally:
            process.terminate()
            process.wait(timeout=30)
