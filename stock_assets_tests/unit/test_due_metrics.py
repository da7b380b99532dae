"""What the exporter says of a dataset: counts, ages, and which of it failed."""

import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stock_assets.alerting.due import DueKeys, failed_keys
from stock_assets.errors import ObjectStoreError
from stock_assets.planning.plan import Due, Plan, Stored
from stock_assets.planning.stamp import Stamp
from stock_assets.planning.status import status_of
from stock_assets.settings import Settings
from stock_assets.standing import Standing
from stock_assets_tests.dagster_runs import leave_run

STORED = Stored({"raw_prices": {"2013-02-26": Stamp()}}, {"features": {"2013-02-25": "cut"}})
PLAN = Plan(
    {
        "raw_prices": {key: Due("missing", "missing") for key in ("2013-02-27", "2013-02-28")},
        "features": {
            "2013-02-26": Due("stale", "made by other code"),
            "2013-02-27": Due("stale", "waits for prices of 2013-02-27", waits=True),
        },
    }
)
START, END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def scraped(collector: DueKeys) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(collector)
    return {
        (
            sample.name,
            *(sample.labels[n] for n in ("dataset", "asset", "state") if n in sample.labels),
        ): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


def test_states_are_counted_and_what_waits_is_none_of_them(instance: dg.DagsterInstance):
    settings = Settings(source="yahoo", store_uri="s3://nowhere")
    seen = scraped(DueKeys(instance, settings, look=lambda _: Standing(PLAN, STORED)))
    name = "stock_assets_partitions"
    assert seen[name, "yahoo", "raw_prices", "missing"] == 2
    assert seen[name, "yahoo", "raw_prices", "stale"] == 0
    assert seen[name, "yahoo", "features", "missing"] == 1  # damaged: it must be made again
    assert seen[name, "yahoo", "features", "stale"] == 1
    assert seen[name, "yahoo", "forecast_rmse", "missing"] == 0
    over = datetime.fromisoformat("2013-02-26T00:00-05:00").timestamp()
    assert abs(time.time() - over - seen["stock_assets_oldest_due_seconds", "yahoo"]) < 60
    seen = scraped(DueKeys(instance, settings, look=lambda _: Standing(Plan({}), Stored({}))))
    assert seen["stock_assets_oldest_due_seconds", "yahoo"] == 0


def test_a_source_that_has_ended_has_no_age(instance: dg.DagsterInstance):
    settings = Settings(store_uri="s3://nowhere")
    seen = scraped(DueKeys(instance, settings, look=lambda _: Standing(PLAN, STORED)))
    assert ("stock_assets_partitions", "sample", "raw_prices", "missing") in seen
    assert not [key for key in seen if key[0] == "stock_assets_oldest_due_seconds"]


def test_a_key_failed_if_the_newest_run_that_was_to_make_it_did(instance: dg.DagsterInstance):
    settings, status = Settings(), status_of(PLAN, STORED)

    def failed() -> dict[str, int]:
        found = failed_keys(status, instance.get_runs())
        return {asset: count for asset, count in found.items() if count}

    assert failed() == {}
    both = {START: "2013-02-27", END: "2013-02-28"}
    leave_run(instance, settings, "daily_job", "FAILURE", **both)
    assert failed() == {"raw_prices": 2}
    leave_run(instance, settings, "daily_job", "STARTED", **{"dagster/partition": "2013-02-28"})
    assert failed() == {"raw_prices": 1}
    leave_run(instance, settings, "daily_job", "FAILURE", **{"dagster/partition": "2013-02-26"})
    assert failed() == {"raw_prices": 1, "features": 1}


def test_a_look_is_taken_once_a_minute_and_one_that_fails_shows_nothing(
    instance: dg.DagsterInstance, caplog: pytest.LogCaptureFixture
):
    answers: list[Standing | Exception] = [
        Standing(PLAN, STORED),
        ObjectStoreError("s3://nowhere does not answer"),
        Standing(PLAN, STORED),
    ]
    now = [1000.0]

    def look(_: Settings) -> Standing:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    collector = DueKeys(instance, Settings(store_uri="s3://nowhere"), look, lambda: now[0])
    assert scraped(collector)
    now[0] = 1059.0
    assert scraped(collector)
    assert len(answers) == 2
    now[0] = 1060.0
    with caplog.at_level(logging.WARNING):
        assert scraped(collector) == {}
    assert "what is due can't be told: s3://nowhere does not answer" in caplog.text
    now[0] = 1120.0
    assert scraped(collector)


def test_a_store_that_never_answers_holds_no_scrape_up(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("stock_assets.alerting.due._PATIENCE_SECONDS", 0.05)
    over = threading.Event()

    def look(_: Settings) -> Standing:
        over.wait(20)
        return Standing(PLAN, STORED)

    collector = DueKeys(instance, Settings(store_uri="s3://nowhere"), look)
    assert scraped(collector) == {}
    assert scraped(collector) == {}  # and no second look while the first is under way
    over.set()
