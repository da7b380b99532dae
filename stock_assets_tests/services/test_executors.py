"""Where steps are done changes no forecast: in one process, in their own, by Celery's workers.

Each executor has a home whose history was made in one process, and goes on from there.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_JOB
from stock_assets.backfill.project import open_instance
from stock_assets.definitions import build_definitions
from stock_assets.environment import load_settings
from stock_assets.local.processes import running
from stock_assets.partitions import range_tags
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import CHECKOUT, QUICK, make_home
from stock_assets_tests.services.redis_server import PASSWORD, redis_server
from stock_assets_tests.waiting import until

SHORT = QUICK | {
    "first_session": "2012-08-01", "tickers": "AAPL,IBM", "train_months": 3,
    "min_train_sessions": 30, "test_sessions": 5, "retune_months": 1,
}  # fmt: skip


def daily() -> dg.JobDefinition:
    return build_definitions(load_settings()).resolve_job_def(DAILY_JOB)


def monthly() -> dg.JobDefinition:
    return build_definitions(load_settings()).resolve_job_def(MONTHLY_JOB)


def execute(job: Callable[[], dg.JobDefinition], first: str, last: str, *assets: str) -> set[int]:
    """Runs a job, or some of its assets, as a run worker does; the processes of the steps."""
    settings = load_settings()
    with (
        open_instance(settings) as instance,
        dg.execute_job(
            dg.reconstructable(job),
            instance,
            tags=range_tags(first, last),
            raise_on_error=True,
            asset_selection=[asset_key("sample", asset) for asset in assets] or None,
        ) as result,
    ):
        events = [entry.dagster_event for entry in instance.all_logs(result.run_id)]
        starts = [event for event in events if event and event.is_step_start]
        assert len(starts) == len(assets or range(4))
        return {int(event.pid or 0) for event in starts}


def settings_are(patch: pytest.MonkeyPatch, home: Path, **others: Any) -> None:
    """They come from the environment, as those of every process that does a step."""
    given = SHORT | {"home": home, "store_uri": f"file://{home}/objects"} | others
    for name, value in given.items():
        patch.setenv(f"STOCK_ASSETS_{name}".upper(), str(value))


def made() -> tuple[set[int], dict[str, Any]]:
    """Three more sessions, two steps side by side: the steps' processes, and all that there is."""
    processes = execute(daily, "2013-02-27", "2013-03-01")
    processes |= execute(monthly, "2013-03", "2013-03", Asset.TRAIN_SET, Asset.TEST_SET)
    return processes, comparable(load_settings())


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the prices, features, forecasts and errors of some months, and a version."""
    home = make_home(tmp_path_factory.mktemp("history") / "home")
    with pytest.MonkeyPatch.context() as patch:
        settings_are(patch, home)
        execute(daily, "2012-08-01", "2013-02-26")
        execute(monthly, "2013-02", "2013-02")
    return home


@pytest.fixture(scope="module")
def in_one_process(history: Path) -> dict[str, Any]:
    home = history.with_name("in_one_process")
    shutil.copytree(history, home)
    with pytest.MonkeyPatch.context() as patch:
        settings_are(patch, home)
        processes, everything = made()
    assert processes == {os.getpid()}
    assert len(everything["registry"]) == 1
    return everything


def test_a_process_for_each_step_makes_the_same(
    history: Path, in_one_process: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = shutil.copytree(history, tmp_path / "home")
    settings_are(monkeypatch, home, executor="multiprocess")
    # In a new process, as a run's worker is: steps are forks of a server that its first one starts,
    # and another test's here would know nothing of these settings.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as worker:
        processes, everything = worker.submit(made).result()
    assert len(processes) == 6
    assert everything == in_one_process


@contextmanager
def workers(home: Path, count: int) -> Iterator[None]:
    """Celery's workers, as docs/deploy.md starts them, which a user can name."""
    command = [sys.executable, "-m", "celery", "--app", "stock_assets.automation.celery_worker"]
    command += ["worker", "--queues", "dagster", "--concurrency", "1", "--loglevel", "info"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    with ExitStack() as stack:
        for number in range(count):
            process = stack.enter_context(
                running(f"worker-{number}", [*command, "--hostname", f"{number}@%h"], home / "logs",
                        environment, home)
            )  # fmt: skip
            log = home / "logs" / f"worker-{number}.log"
            until("a worker", lambda log=log: "ready." in log.read_text(), 60)
            assert process.poll() is None
        yield


def test_two_workers_of_celery_make_the_same(
    history: Path, in_one_process: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    home = shutil.copytree(history, tmp_path / "home")
    with redis_server() as url:
        settings_are(monkeypatch, home, executor="celery", celery_broker_url=url)
        with workers(home, 2):
            processes, everything = made()
            shown = subprocess.check_output(["ps", "-ww", "-eo", "args="], text=True)
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert everything == in_one_process
    kept = [path.read_text(errors="ignore") for path in home.rglob("*") if path.is_file()]
    assert [text for text in (shown, *kept) if PASSWORD in text] == []
