"""Run monitoring, retries and the queue of the documented production site, by its real daemon.

A source that does not answer holds a step for as long as it takes to kill who does it.
"""

from collections.abc import Iterator

import dagster as dg
import pytest

from stock_assets.automation.celery_workers import NO_WORKER
from stock_assets.automation.under_way import UNFINISHED
from stock_assets.commands.doctor import ask_workers
from stock_assets.environment import load_settings
from stock_assets_tests.conftest import QUICK
from stock_assets_tests.services.outage_location import HANGS
from stock_assets_tests.services.production_site import Site, production_site
from stock_assets_tests.services.redis_server import PASSWORD
from stock_assets_tests.waiting import until

FEW = QUICK | {"tickers": "AAPL,IBM", "first_session": "2013-02-14"}
BEGUN = "Executing steps"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Without a worker; the source hangs."""
    folder = tmp_path_factory.mktemp("site")
    with production_site(folder, 2, store_uri=f"file://{folder}/objects", **FEW) as site:
        site.at("2013-02-15T06:20")
        (site.home / "down").write_text(HANGS)
        site.turn_on(schedule=["daily"])
        site.start("daemon")
        yield site


def scheduled(site: Site, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    return [run for run in site.runs(statuses=statuses) if "stock_assets/tick" in run.tags]


def succeeded(site: Site, session: str) -> list[dg.DagsterRun]:
    """The runs that made everything up to a session."""
    return [
        run
        for run in scheduled(site, dg.DagsterRunStatus.SUCCESS)
        if run.tags["dagster/asset_partition_range_end"] == session
    ]


def said(site: Site, run: dg.DagsterRun) -> list[str]:
    return [
        entry.user_message or (entry.dagster_event.message or "" if entry.dagster_event else "")
        for entry in site.asked(lambda instance: instance.all_logs(run.run_id))
    ]


def worker_of(site: Site, run: dg.DagsterRun) -> str | None:
    """Who has begun the run's only step so far."""
    for entry in site.asked(lambda instance: instance.all_logs(run.run_id)):
        event = entry.dagster_event
        if event and event.is_engine_event and BEGUN in (event.message or ""):
            name: str = event.engine_event_data.metadata["Celery worker"].value
            return name.partition("@")[0]
    return None


def begun_run(site: Site) -> tuple[dg.DagsterRun, str] | None:
    """A run with a step at a worker."""
    for run in scheduled(site, dg.DagsterRunStatus.STARTED):
        if worker := worker_of(site, run):
            return run, worker
    return None


def workers_by_the_doctor(site: Site) -> tuple[bool, str]:
    with site.settled():
        found = ask_workers(load_settings())
    return found.ok, found.detail


@pytest.mark.timeout(400)
def test_a_run_says_that_no_worker_answers(site: Site):
    site.at("2013-02-15T06:30:01")
    (run,) = until("a run", lambda: scheduled(site, dg.DagsterRunStatus.STARTED))
    until("a word", lambda: f"The run waits: {NO_WORKER}" in said(site, run))
    assert said(site, run).count(f"The run waits: {NO_WORKER}") == 1


def test_the_doctor_asks_the_broker_and_the_workers(site: Site):
    assert workers_by_the_doctor(site) == (False, NO_WORKER)
    site.redis.kill()
    ok, detail = workers_by_the_doctor(site)
    assert not ok
    assert f"127.0.0.1:{site.redis.port}/0 of STOCK_ASSETS_CELERY_BROKER_URL does not a" in detail
    assert PASSWORD not in detail
    site.redis.start()
    for worker in ("worker-0", "worker-1"):
        site.start(worker)
    until("the workers", lambda: workers_by_the_doctor(site)[1].startswith("2 of Celery answer"))


@pytest.mark.timeout(400)
def test_a_step_that_redis_forgot_is_handed_to_it_again(site: Site):
    (site.home / "down").unlink()
    until("no run", lambda: not site.runs(statuses=UNFINISHED), 250)
    if not succeeded(site, "2013-02-14"):
        site.at("2013-02-15T07:00:01")  # Redis was down for longer than it was tried
    until("a run that is well", lambda: succeeded(site, "2013-02-14"))


@pytest.mark.timeout(400)
def test_a_run_whose_worker_died_is_ended_and_started_again_by_dagster_alone(site: Site):
    (site.home / "down").write_text(HANGS)
    site.at("2013-02-16T06:30:01")
    run, worker = until("a step at a worker", lambda: begun_run(site))
    site.kill(worker)
    until("its end", lambda: site.runs(run_ids=[run.run_id])[0].status.value == "FAILURE")
    assert [text for text in said(site, run) if "which began step" in text]
    (site.home / "down").unlink()
    again = until("the run again", lambda: succeeded(site, "2013-02-15"))[0]
    assert again.parent_run_id == run.run_id
    assert again.tags["dagster/retry_number"] == "1"
    site.start(worker)


@pytest.mark.timeout(400)
def test_a_run_whose_code_server_died_with_it_is_ended_and_asked_for_again(site: Site):
    (site.home / "down").write_text(HANGS)
    site.at("2013-02-20T06:30:01")
    run, _ = until("a step at a worker", lambda: begun_run(site))
    site.kill("code")
    until("its end", lambda: site.runs(run_ids=[run.run_id])[0].status.value == "FAILURE")
    (site.home / "down").unlink()
    site.at("2013-02-20T07:00:01")
    again = until("a run of the next tick", lambda: succeeded(site, "2013-02-19"))[0]
    assert again.parent_run_id is None
