"""Two workers with homes of their own make what one process makes, and train months at once.

They share a store, PostgreSQL and Redis alone. That PostgreSQL changes nothing in one process is
shown in test_postgres.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.asset_keys import Asset
from stock_assets.backfill.project import open_instance
from stock_assets.environment import load_settings
from stock_assets.local.processes import running
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import open_store
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import CHECKOUT, make_home
from stock_assets_tests.services.meetings import AT_ONCE, FOLDER
from stock_assets_tests.services.postgres_server import postgres_server
from stock_assets_tests.services.redis_server import redis_server
from stock_assets_tests.services.test_executors import daily, execute, monthly, settings_are
from stock_assets_tests.waiting import until

FIRST, LAST = "2012-07-02", "2013-03-01"
MONTHS = ("2013-01", "2013-02", "2013-03")
FORECAST = ("2013-02-26", LAST)
PRICES = (Asset.RAW_PRICES, Asset.FEATURES)
FORECASTS = (Asset.DAILY_FORECAST, Asset.FORECAST_RMSE)


def in_one_process(folder: Path) -> dict[str, Any]:
    """All that there is, made on SQLite, a run after the other."""
    with pytest.MonkeyPatch.context() as patch:
        settings_are(patch, make_home(folder / "home"), first_session=FIRST)
        execute(daily, FIRST, LAST, *PRICES)
        for month in MONTHS:
            execute(monthly, month, month)
        execute(daily, *FORECAST, *FORECASTS)
        return comparable(load_settings())


@contextmanager
def workers(homes: list[Path], meeting: Path) -> Iterator[None]:
    """A worker of Celery on each machine."""
    command = [
        sys.executable,
        "-m",
        "celery",
        "--app",
        "stock_assets_tests.services.meeting_worker",
    ]
    command += ["worker", "--queues", "dagster", "--concurrency", "1", "--loglevel", "info"]
    started = []
    with ExitStack() as stack:
        for home in homes:
            environment = {
                **os.environ,
                "PYTHONPATH": str(CHECKOUT),
                "STOCK_ASSETS_HOME": str(home),
                FOLDER: str(meeting),
            }
            one = [*command, "--hostname", f"{home.name}@%h"]
            started.append(
                stack.enter_context(running("worker", one, home / "logs", environment, home))
            )
        for home, process in zip(homes, started, strict=True):
            log = home / "logs" / "worker.log"
            until(
                "a worker",
                lambda log=log, process=process: process.poll() or "ready." in log.read_text(),
                120,
            )
            assert process.poll() is None, log.read_text()
        yield


class Run(threading.Thread):
    """A run of months, as a process of Dagster's executes it; its steps are done by workers."""

    def __init__(self, month: str) -> None:
        super().__init__(daemon=True)
        self._month, self.failure = month, ""

    def run(self) -> None:
        try:
            execute(monthly, self._month, self._month)
        except dg.DagsterError as error:
            self.failure = str(error)


def runs_there_are() -> int:
    with open_instance(load_settings()) as instance:
        return instance.get_runs_count()


@pytest.mark.timeout(600)
def test_two_machines_train_at_once_lose_a_worker_and_forecast_what_one_process_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = in_one_process(tmp_path / "alone")
    assert [month for _, month, _, _ in expected["registry"]] == list(MONTHS)

    meeting = tmp_path / "meeting"
    meeting.mkdir()
    homes = [make_home(tmp_path / name) for name in ("page", "one", "two")]
    with postgres_server() as server, redis_server() as broker:
        server.execute("postgres", "create database stock")
        settings_are(
            monkeypatch, homes[0], executor="celery", celery_broker_url=broker,
            postgres_url=server.url("stock"), store_uri=f"file://{tmp_path}/objects",
            first_session=FIRST,
        )  # fmt: skip
        (meeting / AT_ONCE).write_text("2")
        with workers(homes[1:], meeting):
            execute(daily, FIRST, LAST, *PRICES)
            # Neither trains before both do.
            pair = [Run(month) for month in MONTHS[:2]]
            for number, run in enumerate(pair, 2):
                run.start()
                until("a run", lambda number=number: runs_there_are() == number, 60)
            for run in pair:
                run.join()
            assert [run.failure for run in pair] == ["", ""]

            (meeting / AT_ONCE).write_text("4")
            killed = Run(MONTHS[2])
            killed.start()
            training = meeting / f"training-{MONTHS[2]}"
            until("a training", training.exists, 120)
            os.kill(int(training.read_text()), signal.SIGKILL)
            killed.join()
            assert "WorkerLostError" in killed.failure
            settings = load_settings()
            with open_store(settings) as store:
                assert not [key for key in store.keys(Asset.TUNED_MODEL) if MONTHS[2] in key]
                (meeting / AT_ONCE).write_text("0")
                # As the schedule, or who presses Re-execute, has it run again.
                execute(monthly, MONTHS[2], MONTHS[2])
                execute(daily, *FORECAST, *FORECASTS)
                versions = ModelRegistry(settings, store).versions()
        left = comparable(settings)
    assert [version.version for version in versions] == [1, 2, 3]
    assert left.keys() == expected.keys()
    for key, value in expected.items():
        assert left[key] == value, key
    # Each of the machines has done some of it.
    assert all((home / "var").is_dir() for home in homes[1:])
