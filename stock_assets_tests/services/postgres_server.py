"""Debian's PostgreSQL on loopback, in a folder of its own, for as long as a block runs."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from stock_assets.local.processes import HOST, free_port

# With what has to be escaped in a URL, and % in a configuration of alembic.
PASSWORD = "hunter2@%/:pass"


@dataclass
class PostgresServer:
    """A server with the user postgres, which runs unless it was killed."""

    port: int
    folder: Path
    user: dict[str, Any]
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Runs it until it answers, also after a crash."""
        ready = [_program("pg_isready"), "-q", "-h", HOST, "-p", str(self.port)]
        deadline = time.monotonic() + 60
        while self.process is None or subprocess.run(ready, check=False).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            # What a killed one left in memory is in use until its last client is gone.
            if self.process is None or self.process.poll() is not None:
                with (self.folder / "log").open("ab") as log:
                    self.process = subprocess.Popen(
                        [
                            _program("postgres"), "-D", self.folder / "data", "-p", str(self.port),
                            "-h", HOST, "-k", self.folder, "-c", "fsync=off",
                            "-c", "log_statement=all",
                        ],
                        stdout=log, stderr=log, cwd=self.folder, **self.user,
                    )  # fmt: skip
            time.sleep(0.1)

    def kill(self) -> None:
        """As a crash of the machine does: nothing is written any more, clients are cut off."""
        assert self.process
        self.process.kill()
        self.process.wait(timeout=60)

    def stop(self) -> None:
        assert self.process
        self.process.send_signal(signal.SIGINT)  # "fast": clients are cut off
        self.process.wait(timeout=60)

    def url(self, database: str) -> str:
        """As a user writes it: no driver in it."""
        password = quote(PASSWORD, safe="")
        return f"postgresql://postgres:{password}@{HOST}:{self.port}/{database}"

    def execute(self, database: str, statement: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(self.url(database))
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def tables(self, database: str) -> dict[str, set[str]]:
        """By schema, without the server's own."""
        rows = self.execute(
            database,
            "select schemaname, array_agg(tablename::text) from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema') group by 1",
        )
        return {schema: set(names) for schema, names in rows}


def _program(name: str) -> str:
    """Debian keeps the server's programs out of PATH; the newest version counts."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    program = str(found[-1]) if found else shutil.which(name)
    assert program, f"{name} is missing: apt-get install postgresql"
    return program


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    # PostgreSQL refuses to run as root, and nobody else may enter pytest's folders.
    user: dict[str, Any] = {}
    if os.geteuid() == 0:
        user = {"user": "nobody", "group": "nogroup", "extra_groups": []}
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        (folder / "password").write_text(PASSWORD)
        if user:
            for path in (folder, folder / "password"):
                shutil.chown(path, user["user"], user["group"])
        subprocess.run(
            [
                _program("initdb"), "--pgdata", folder / "data", "--username", "postgres",
                "--auth", "scram-sha-256", "--pwfile", folder / "password", "--no-sync",
                "--encoding", "UTF8", "--locale", "C",
            ],
            check=True, capture_output=True, cwd=folder, **user,
        )  # fmt: skip
        server = PostgresServer(free_port(24_000 + os.getpid() % 1_000), folder, user)
        try:
            server.start()
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
