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


@dataclass(frozen=True)
class PostgresServer:
    """A running server with the user postgres."""

    port: int

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
        port = free_port(24_000 + os.getpid() % 1_000)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [
                    _program("postgres"), "-D", folder / "data", "-p", str(port), "-h", HOST,
                    "-k", folder, "-c", "fsync=off", "-c", "log_statement=all",
                ],
                stdout=log, stderr=log, cwd=folder, **user,
            )  # fmt: skip
        try:
            ready = [_program("pg_isready"), "-q", "-h", HOST, "-p", str(port)]
            while subprocess.run(ready, check=False).returncode:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield PostgresServer(port)
        finally:
            process.send_signal(signal.SIGINT)  # "fast": clients are cut off
            process.wait(timeout=60)
    finally:
        shutil.rmtree(folder)
