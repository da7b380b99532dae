"""What `dagster.yaml` asks of Dagster: whose runs are ended, started again, and go first."""

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.instance.config import PoolGranularity
from dagster._core.storage.dagster_run import RunsFilter
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from stock_assets.automation import run_launcher
from stock_assets.automation.celery_workers import CeleryWorkers
from stock_assets.automation.run_launcher import WatchedRunLauncher
from stock_assets.automation.schedules import BEFORE_BACKFILLS
from stock_assets.definitions import build_definitions
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.dagster_runs import leave_run

URL = "http://localhost/{ticker}"
HERE = {GRPC_INFO_TAG: '{"host": "localhost", "socket": "/none"}'}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """In the test's folder, as a person's checkout has it."""
    with dg.DagsterInstance.from_config(str(CHECKOUT)) as opened:
        yield opened


def test_a_dead_run_is_ended_and_started_again_twice_at_most(instance: dg.DagsterInstance):
    assert isinstance(instance.run_launcher, WatchedRunLauncher)
    assert instance.run_launcher.supports_check_run_worker_health
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 2
    assert not instance.run_retries_retry_on_asset_or_op_failure


@pytest.mark.parametrize(
    ("source", "pool"),
    [
        ({"source": "yahoo"}, "yahoo"),
        (
            {"source": "http", "http_url": URL, "second_source": "yahoo", "tickers": ("IBM",)},
            "http",
        ),
        ({"second_source": "yahoo"}, "yahoo"),
        ({}, None),
    ],
)
def test_one_run_at_a_time_fetches_from_a_vendor(
    instance: dg.DagsterInstance, source: dict[str, Any], pool: str | None
):
    pools = instance.get_concurrency_config().pool_config
    assert (pools.pool_granularity, pools.default_pool_limit) == (PoolGranularity.RUN, 1)
    settings = Settings(**source)
    run_id = leave_run(instance, settings, "daily_job", "QUEUED")
    run = instance.get_run_by_id(run_id)
    assert run
    asked = run.run_op_concurrency
    assert (asked.all_pools if asked else None) == ({pool} if pool else None)


def test_a_schedules_run_goes_before_those_of_backfills_that_waited_longer(
    instance: dg.DagsterInstance,
):
    settings = Settings()
    backfills = [
        leave_run(instance, settings, "daily_job", "QUEUED", **{"dagster/backfill": str(number)})
        for number in range(3)
    ]
    daily = leave_run(
        instance, settings, "daily_job", "QUEUED", **{"dagster/priority": BEFORE_BACKFILLS}
    )
    queued = instance.get_runs(RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]), ascending=True)
    assert [run.run_id for run in queued] == [*backfills, daily]
    first = QueuedRunCoordinatorDaemon(interval_seconds=1)._priority_sort(queued)
    assert [run.run_id for run in first] == [daily, *backfills]


def test_a_run_is_dead_as_soon_as_its_process_is(instance: dg.DagsterInstance):
    launcher = instance.run_launcher
    code = "import time; 'multiprocessing'; print(flush=True); time.sleep(60)"
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout
    worker.stdout.readline()
    run = instance.get_run_by_id(leave_run(instance, Settings(), "daily_job", "STARTED", **HERE))
    assert run
    try:
        assert launcher.check_run_worker_health(run).status.value == "RUNNING"  # not known yet
        started = dg.DagsterEvent("PIPELINE_START", "daily_job", pid=worker.pid)
        instance.report_dagster_event(started, run.run_id)
        assert launcher.check_run_worker_health(run).status.value == "RUNNING"
    finally:
        worker.kill()
        worker.wait()
    seen = launcher.check_run_worker_health(run)
    assert (seen.status.value, seen.msg) == ("NOT_FOUND", f"process {worker.pid} is gone")


def test_a_number_that_another_process_has_by_now_is_no_run(instance: dg.DagsterInstance):
    run = instance.get_run_by_id(leave_run(instance, Settings(), "daily_job", "STARTED", **HERE))
    assert run
    with subprocess.Popen(["sleep", "60"]) as other:
        started = dg.DagsterEvent("PIPELINE_START", "daily_job", pid=other.pid)
        instance.report_dagster_event(started, run.run_id)
        assert instance.run_launcher.check_run_worker_health(run).status.value == "NOT_FOUND"
        other.kill()


def test_a_commands_run_is_left_to_its_command(instance: dg.DagsterInstance):
    run = instance.get_run_by_id(leave_run(instance, Settings(), "daily_job", "STARTED"))
    assert run
    started = dg.DagsterEvent("PIPELINE_START", "daily_job", pid=2**22 - 1)
    instance.report_dagster_event(started, run.run_id)
    assert instance.run_launcher.check_run_worker_health(run).status.value == "RUNNING"


def of_celery(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterRun:
    """A run with a step that a worker began a minute ago."""
    monkeypatch.setenv("STOCK_ASSETS_EXECUTOR", "celery")
    monkeypatch.setenv("STOCK_ASSETS_CELERY_BROKER_URL", "redis://127.0.0.1:9/0")
    run = instance.get_run_by_id(leave_run(instance, Settings(), "daily_job", "STARTED", **HERE))
    assert run
    for data in (
        {"marker_start": "celery_queue_wait"},
        {"metadata": {"Celery worker": dg.MetadataValue.text("w@a")}},
    ):
        engine_event = dg.DagsterEvent(
            "ENGINE_EVENT", "daily_job", step_key="prices",
            event_specific_data=EngineEventData(**data),
        )  # fmt: skip
        instance.report_dagster_event(engine_event, run.run_id, timestamp=time.time() - 60)
    return run


def test_a_run_whose_worker_missed_two_questions_in_a_row_is_dead(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = of_celery(instance, monkeypatch)
    answers = iter([{}, {"w@a": [7]}, {}, {}])
    monkeypatch.setattr(
        run_launcher, "look_at_workers", lambda _: CeleryWorkers(next(answers), waiting=0)
    )
    looks = [instance.run_launcher.check_run_worker_health(run) for _ in range(4)]
    assert [look.status.value for look in looks] == ["RUNNING"] * 3 + ["NOT_FOUND"]
    assert looks[-1].msg == "worker w@a, which began step prices, does not answer"


def test_a_step_that_ends_while_workers_are_asked_is_not_lost(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    run = of_celery(instance, monkeypatch)

    def look(_: Settings) -> CeleryWorkers:
        ended = dg.DagsterEvent("STEP_SKIPPED", "daily_job", step_key="prices")
        instance.report_dagster_event(ended, run.run_id)
        return CeleryWorkers({"w@a": []}, waiting=0)

    monkeypatch.setattr(run_launcher, "look_at_workers", look)
    looks = [instance.run_launcher.check_run_worker_health(run)]
    assert {look.status.value for look in looks} == {"RUNNING"}
    assert instance.run_launcher._suspected == {}


def test_backfills_of_the_page_have_no_priority_of_their_own():
    jobs = build_definitions(Settings()).get_repository_def().get_all_jobs()
    assert [job.name for job in jobs if "dagster/priority" in job.tags] == []
