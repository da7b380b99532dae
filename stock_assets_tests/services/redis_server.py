"""Debian's Redis on loopback, with a password and nothing on disk, for as long as a block runs."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stock_assets.local.processes import HOST, accepts, free_port
from stock_assets_tests.waiting import until

PASSWORD = "hunter2-of-redis"


@dataclass
class RedisServer:
    """A server that runs unless it was killed, and then has forgotten all."""

    port: int
    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        return f"redis://:{PASSWORD}@{HOST}:{self.port}/0"

    def start(self) -> None:
        program = shutil.which("redis-server")
        assert program, "redis-server is missing: apt-get install redis-server"
        self.process = subprocess.Popen(
            [program, "redis.conf"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
        )  # fmt: skip
        until("Redis", lambda: accepts(self.port), 30)

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(timeout=30)


@contextmanager
def killable_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = RedisServer(free_port(26_000 + os.getpid() % 1_000), Path(folder))
        # From a file: every user of the machine can read arguments.
        (server.folder / "redis.conf").write_text(
            f"bind {HOST}\nport {server.port}\nrequirepass {PASSWORD}\nsave ''\nappendonly no\n"
        )
        try:
            server.start()
            yield server
        finally:
            server.kill()


@contextmanager
def redis_server() -> Iterator[str]:
    """Its URL."""
    with killable_redis() as server:
        yield server.url
