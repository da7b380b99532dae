"""Dagster's and MLflow's pages in a browser, by clicks: materialise, backfill, switch on, look.

On what a command made before; the pages are those of `stock-assets ui`.
"""

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from stock_assets.asset_keys import Asset
from stock_assets.local.processes import free_port
from stock_assets_tests.asked_pages import ask
from stock_assets_tests.clicking import DIALOG, click, complaints_of_ours, press, see, watch_for
from stock_assets_tests.e2e.test_command_line import COMMAND, environment
from stock_assets_tests.served_pages import DATASET, Pages, served_pages
from stock_assets_tests.services.test_pages import checkout
from stock_assets_tests.waiting import until

FIRST, LAST = "2013-02-19", "2013-03-01"
RUNS = "{ runsOrError { ... on Runs { results { runId status tags { key value } } } } }"
BACKFILLS = "{ partitionBackfillsOrError { ... on PartitionBackfills { results { id status } } } }"
SWITCHES = """
{ workspaceOrError { ... on Workspace { locationEntries { locationOrLoadError {
  ... on RepositoryLocation { repositories {
    schedules { name scheduleState { status } }
    sensors { name sensorState { status } } } } } } } } }
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pages]:
    folder = tmp_path_factory.mktemp("pages")
    home = checkout(folder / "home")
    ports = {"dagster_port": free_port(23_000), "mlflow_port": free_port(25_000)}
    its_environment = environment(home, **ports)
    subprocess.run(
        [COMMAND, "run", "--from", FIRST, "--to", LAST],
        cwd=home, env=its_environment, check=True, capture_output=True, timeout=300,
    )  # fmt: skip
    with served_pages(home, its_environment, folder / "profile") as served:
        yield served
        assert complaints_of_ours(served.page) == []


def asked(pages: Pages, query: str) -> Any:
    (found,) = ask(pages.dagster, query).values()
    return found


@pytest.mark.timeout(400)
def test_runs_of_the_command_are_seen(pages: Pages):
    pages.open("/runs")
    for job in ("daily_job", "monthly_job", "report_job"):
        see(pages.page, job)
    see(pages.page, "Success")
    assert "Failure" not in pages.page.value("document.body.innerText")


@pytest.mark.timeout(400)
def test_an_asset_is_materialised_by_a_click(pages: Pages):
    before = {run["runId"] for run in asked(pages, RUNS)["results"]}
    pages.choose(Asset.FORECAST_RMSE, "Latest")
    click(pages.page, "Launch 1 run", DIALOG)
    see(pages.page, "Launched run")

    def ended() -> Any:
        new = [run for run in asked(pages, RUNS)["results"] if run["runId"] not in before]
        return new if new and new[0]["status"] in ("SUCCESS", "FAILURE") else None

    (run,) = until("the end of the run", ended)
    assert run["status"] == "SUCCESS"
    pages.open(f"/runs/{run['runId']}")
    see(pages.page, "Success")
    see(pages.page, Asset.FORECAST_RMSE)


@pytest.mark.timeout(400)
def test_a_backfill_is_launched_by_clicks(pages: Pages):
    pages.choose(Asset.DAILY_FORECAST, "[2013-02-25...2013-02-27]")
    created = watch_for(pages.page, "Created backfill")
    click(pages.page, "Launch backfill", DIALOG)
    created()
    done = until(
        "the end of the backfill",
        lambda: [b for b in asked(pages, BACKFILLS)["results"] if b["status"].startswith("COMPL")],
        300,
    )
    pages.open("/runs?view=backfills")
    see(pages.page, done[0]["id"])
    see(pages.page, "Success")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["schedules/daily", "sensors/rmse_above_threshold"])
def test_schedule_and_sensor_are_turned_on(pages: Pages, name: str):
    pages.open("/automation")
    line = f"document.querySelector('a[href$=\"/{name}\"]')?.closest('[data-index]')"
    switch = f"[...({line}?.querySelectorAll('input') ?? [])].slice(1).find(e => !e.disabled)"
    press(pages.page, f"{switch}?.parentElement", name)
    until(f"{name} to be on", lambda: pages.page.value(f"{switch}?.checked"))
    (entry,) = asked(pages, SWITCHES)["locationEntries"]
    (repository,) = entry["locationOrLoadError"]["repositories"]
    kind, own_name = name.split("/")
    state = {"schedules": "scheduleState", "sensors": "sensorState"}[kind]
    states = {one["name"]: one[state]["status"] for one in repository[kind]}
    assert states[own_name] == "RUNNING"


@pytest.mark.timeout(400)
def test_a_partition_shows_its_own_forecasts_and_picture(pages: Pages):
    pages.asset(Asset.DAILY_FORECAST, "partitions")
    click(pages.page, "2013-02-28")
    see(pages.page, "session=2013-02-28/part.parquet")
    see(pages.page, "AAPL")
    # Anew: the session is named in what the one before it shows, too.
    pages.asset(Asset.DAILY_FORECAST, "partitions")
    click(pages.page, LAST)
    see(pages.page, f"session={LAST}/part.parquet")
    click(pages.page, "[Show Markdown]")
    drawn = "[...document.querySelectorAll('img[src^=\"data:\"]')].some(e => e.naturalWidth > 200)"
    until("the picture", lambda: pages.page.value(drawn))
    assert "session=*" not in pages.page.value("document.body.innerText")


@pytest.mark.timeout(400)
def test_checks_are_seen(pages: Pages):
    pages.asset(Asset.RAW_PRICES, "checks")
    see(pages.page, "Passed")


@pytest.mark.timeout(400)
def test_the_version_is_seen_in_mlflow(pages: Pages):
    pages.page.open(f"http://127.0.0.1:{pages.mlflow}/#/models")
    see(pages.page, DATASET)
    names = re.findall(r"stock_assets\S*", pages.page.value("document.body.innerText"))
    assert names
