"""Dagster's daemon, Celery's workers, PostgreSQL and Redis, as a supervisor keeps them up.

All of it is real, on loopback: workers have homes of their own, the store is a folder, and the
clock of Dagster's processes is moved by the test.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import psutil
import pytest

from stock_assets.local.processes import stop_group
from stock_assets_tests.conftest import CHECKOUT, make_home
from stock_assets_tests.loopback import Inbox, inbox
from stock_assets_tests.services import moved_clock
from stock_assets_tests.services.daemon import binary
from stock_assets_tests.services.postgres_server import PostgresServer, postgres_server
from stock_assets_tests.services.redis_server import RedisServer, killable_redis

WORKSPACE = (
    "load_from:\n  - python_module:\n"
    "      module_name: stock_assets_tests.services.outage_location\n"
    "      location_name: stock_assets\n"
)
QUICKER = {
    "poll_interval_seconds: 30": "poll_interval_seconds: 3",
    "start_timeout_seconds: 300": "start_timeout_seconds: 30",
    "class: RunOrder": "class: RunOrder\n  config: {dequeue_interval_seconds: 1}",
}
"""Of dagster.yaml: what a test has no time to wait for."""


@dataclass
class Site:
    """`parts`: processes by name, each the leader of a group of its own."""

    home: Path
    postgres: PostgresServer
    redis: RedisServer
    told_at: Inbox
    environment: dict[str, str]
    parts: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    instance: dg.DagsterInstance | None = None

    def at(self, moment: str) -> None:
        """Moves the clock of all processes to a moment in New York."""
        there = datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo("America/New_York"))
        moved_clock.move(self.home / "clock" / "now", there)

    def start(self, part: str) -> None:
        if part == "postgres":
            self.postgres.start()
        elif part == "redis":
            self.redis.start()
        elif part == "daemon":
            self._start(part, self.home, [binary("dagster-daemon"), "run", "-w", "workspace.yaml"])
        else:
            self._start(part, self.home.with_name(part), [
                sys.executable, "-m", "celery", "--app", "stock_assets.automation.celery_worker",
                "worker", "--queues", "dagster", "--concurrency", "1", "--hostname", f"{part}@%h",
            ])  # fmt: skip

    def kill(self, part: str) -> None:
        """SIGKILL, to a part and all that it started; of the code server, to what it does too."""
        if part in {"postgres", "redis"}:
            getattr(self, part).kill()
            return
        if part == "code":
            for process in psutil.Process(self.parts["daemon"].pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            return
        process = self.parts.pop(part)
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                child.kill()
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _start(self, part: str, folder: Path, command: list[str]) -> None:
        with (self.home / f"{part}.log").open("ab") as log:
            self.parts[part] = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | self.environment
                | {"STOCK_ASSETS_HOME": str(folder), "DAGSTER_HOME": str(folder)},
            )  # fmt: skip

    def turn_on(self, **kinds: list[str]) -> None:
        """Schedules and sensors, side by side: each command imports everything."""
        commands = [
            subprocess.Popen(
                [binary("dagster"), kind, "start", name, "-w", "workspace.yaml"],
                cwd=self.home, env=os.environ | self.environment,
                stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT,
            )
            for kind, names in kinds.items()
            for name in names
        ]  # fmt: skip
        assert [command.wait(timeout=120) for command in commands] == [0] * len(commands)

    def asked(self, see: Callable[[dg.DagsterInstance], Any]) -> Any:
        """What is seen in Dagster's instance; a database that is down is no answer."""
        try:
            if self.instance is None:
                with self.settled():
                    self.instance = dg.DagsterInstance.from_config(str(self.home))
            return see(self.instance)
        except Exception as error:
            raise OSError(str(error)) from error

    @contextmanager
    def settled(self) -> Iterator[None]:
        """This process has the settings of the daemon's."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.environment.items():
                patch.setenv(name, value)
            patch.chdir(self.home)
            yield

    def runs(self, **filters: Any) -> list[dg.DagsterRun]:
        return list(self.asked(lambda instance: instance.get_runs(dg.RunsFilter(**filters))))

    def logs(self) -> str:
        return "\n".join(
            f"--- {log.name}\n{log.read_text()[-3000:]}" for log in self.home.glob("*.log")
        )


@contextmanager
def production_site(folder: Path, workers: int, **settings: Any) -> Iterator[Site]:
    """Servers run; `start` the daemon and the workers."""
    home = make_home(folder / "daemon")
    text = (home / "dagster.yaml").read_text()
    for usual, quick in QUICKER.items():
        assert usual in text
        text = text.replace(usual, quick)
    (home / "dagster.yaml").write_text(text)
    (home / "workspace.yaml").write_text(WORKSPACE)
    (home / "clock").mkdir()
    (home / "clock" / "sitecustomize.py").write_text(moved_clock.SITECUSTOMIZE)
    for number in range(workers):
        own = folder / f"worker-{number}"
        own.mkdir()
        shutil.copy(home / "dagster.yaml", own)
    with ExitStack() as stack:
        postgres, redis = (stack.enter_context(o()) for o in (postgres_server, killable_redis))
        told_at = stack.enter_context(inbox())
        postgres.execute("postgres", "create database stock")
        given = settings | {
            "home": home,
            "postgres_url": postgres.url("stock"),
            "executor": "celery",
            "celery_broker_url": redis.url,
            "sensor_interval_seconds": 3,
            "notify_urls": told_at.url.replace("http://", "json://"),
        }
        environment = {f"STOCK_ASSETS_{name}".upper(): str(it) for name, it in given.items()} | {
            "DAGSTER_HOME": str(home),
            "PYTHONPATH": f"{home / 'clock'}:{CHECKOUT}",
            moved_clock.VARIABLE: str(home / "clock" / "now"),
            "SOURCE_IS_DOWN": str(home / "down"),
            # Beats would be as old as the clock is moved.
            "DAGSTER_DAEMON_HEARTBEAT_TOLERANCE": "1000000000",
        }
        site = Site(home, postgres, redis, told_at, environment)
        try:
            yield site
        finally:
            for part in site.parts.values():
                stop_group(part.pid)
            if site.instance:
                site.instance.dispose()
