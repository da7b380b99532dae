"""Run monitoring, retries and the queue of the documented production site, by its real daemon.

A source that does not answer holds a step for as long as it takes to kill who does it.
"""

from collections.abc import Iterator
from datetime import date

import dagster as dg
import pytest

from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import open_project
from stock_assets.environment import load_settings
from stock_assets_tests.conftest import QUICK
from stock_assets_tests.services.outage_location import HANGS
from stock_assets_tests.services.production_site import Site, production_site
from stock_assets_tests.waiting import until

# No month can be trained: random walks and the normal distribution are all it takes.
FEW = QUICK | {
    "tickers": "AAPL,IBM", "min_train_sessions": 1000, "first_session": "2012-12-03",
}  # fmt: skip
BEGUN = "Executing steps"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    with (
        production_site(folder, 2, store_uri=f"file://{folder}/objects", **FEW) as site,
        site.settled(),
    ):
        site.at("2013-02-14T06:40")
        settings = load_settings(last_session=date(2013, 2, 13))
        with open_project(settings) as project:
            wanted = project.range_of(date(2013, 2, 13), date(2013, 2, 13))
            bring_up_to_date(project, wanted.wanted(), Progress())
        (site.home / "down").write_text(HANGS)
        site.dagster("schedule", "start", "daily")
        for part in ("worker-0", "worker-1", "daemon"):
            site.start(part)
        yield site


def scheduled(site: Site, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    return [run for run in site.runs(statuses=statuses) if "stock_assets/tick" in run.tags]


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


@pytest.mark.timeout(300)
def test_a_run_whose_worker_died_is_ended_and_started_again_by_dagster_alone(site: Site):
    site.at("2013-02-15T06:30:01")
    (run,) = until("a run", lambda: scheduled(site, dg.DagsterRunStatus.STARTED))
    worker = until("a step at a worker", lambda: worker_of(site, run))
    site.kill(worker)
    until("the end of the run", lambda: scheduled(site, dg.DagsterRunStatus.FAILURE))
    assert [text for text in said(site, run) if "which began step" in text]
    (site.home / "down").unlink()
    (again,) = until("the run again", lambda: scheduled(site, dg.DagsterRunStatus.SUCCESS))
    assert again.parent_run_id == run.run_id
    assert again.tags["dagster/retry_number"] == "1"
    site.start(worker)


def test_a_run_whose_code_server_died_with_it_is_ended_and_started_again(site: Site):
    (site.home / "down").write_text(HANGS)
    site.at("2013-02-16T06:30:01")
    (run,) = until("a run", lambda: scheduled(site, dg.DagsterRunStatus.STARTED))
    until("a step at a worker", lambda: worker_of(site, run))
    site.kill("code")
    until("the end of the run", lambda: len(scheduled(site, dg.DagsterRunStatus.FAILURE)) == 2)
    (site.home / "down").unlink()
    again = until("the run again", lambda: scheduled(site, dg.DagsterRunStatus.SUCCESS)[:1])
    until("both runs", lambda: len(scheduled(site, dg.DagsterRunStatus.SUCCESS)) == 2)
    assert scheduled(site, dg.DagsterRunStatus.SUCCESS)[0].parent_run_id == run.run_id
    assert again
