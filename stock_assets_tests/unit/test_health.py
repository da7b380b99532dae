"""The exporter's numbers, on a temporary instance."""

import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stock_assets.alerting.health import HEALTH_METRICS, DagsterHealth
from stock_assets.settings import Settings
from stock_assets_tests.dagster_runs import leave_run


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    # An ephemeral one stores no schedules and sensors.
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


class Scrape:
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.now = 0.0
        self.registry = CollectorRegistry()
        self.registry.register(DagsterHealth(instance, "sample", clock=lambda: self.now))

    def __call__(self) -> dict[str, float]:
        return {
            sample.name.removeprefix("stock_assets_dagster_")
            + "".join(f" {value}" for value in sample.labels.values()): sample.value
            for family in text_string_to_metric_families(generate_latest(self.registry).decode())
            for sample in family.samples
        }


def test_an_empty_instance_has_counts_and_no_times(instance: dg.DagsterInstance):
    assert Scrape(instance)() == {
        "runs queued": 0,
        "runs under way": 0,
        "failed_runs": 0,
        "instigators_on": 0,
    }


def test_runs_are_counted_and_the_last_of_each_job_is_dated(instance: dg.DagsterInstance):
    scrape = Scrape(instance)
    for status in ("QUEUED", "STARTED", "FAILURE"):
        leave_run(instance, Settings(), "daily_job", status)
    before_the_last = time.time()
    leave_run(instance, Settings(), "daily_job", "FAILURE")
    seen = scrape()
    assert (seen["runs queued"], seen["runs under way"], seen["failed_runs"]) == (1, 1, 2)
    assert before_the_last - 60 < seen["oldest_queued_timestamp_seconds"] <= before_the_last
    assert before_the_last <= seen["job_last_failure_timestamp_seconds daily_job"] <= time.time()
    assert "job_last_success_timestamp_seconds daily_job" not in seen


def test_a_scrape_reads_the_instance_at_most_every_five_seconds(instance: dg.DagsterInstance):
    scrape = Scrape(instance)
    assert scrape()["failed_runs"] == 0
    leave_run(instance, Settings(), "daily_job", "FAILURE")
    scrape.now = 4.9
    assert scrape()["failed_runs"] == 0
    scrape.now = 5.0
    assert scrape()["failed_runs"] == 1


def test_every_number_says_what_it_is(instance: dg.DagsterInstance):
    families = DagsterHealth(instance, "sample").collect()
    assert {family.name: family.documentation for family in families} == HEALTH_METRICS
