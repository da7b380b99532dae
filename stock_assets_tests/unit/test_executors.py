"""Which executor a setting chooses, and what Dagster is told of it."""

import sys

import dagster as dg
import pytest

from stock_assets.automation.executors import celery_addresses, executor_of
from stock_assets.definitions import build_definitions
from stock_assets.environment import load_settings
from stock_assets.errors import MissingLibraryError, SettingsError
from stock_assets.settings import Settings

REDIS = "redis://:hunter2@h:6379/0"


@pytest.mark.parametrize("name", ["in_process", "multiprocess", "celery"])
def test_jobs_and_what_the_page_materialises_have_the_executor_of_the_setting(name: str):
    definitions = build_definitions(Settings(executor=name, celery_broker_url=REDIS))
    executors = {
        job.name: job.executor_def.name for job in definitions.get_repository_def().get_all_jobs()
    }
    # One step: no process or worker would do another.
    assert executors.pop("report_job") == "in_process"
    assert set(executors.values()) == {name}
    assert len(executors) == 4


def test_no_configuration_that_dagster_shows_has_the_brokers_password():
    job = build_definitions(Settings(executor="celery", celery_broker_url=REDIS)).resolve_job_def(
        "daily_job"
    )
    assert "hunter2" not in dg.serialize_value(job.get_job_snapshot())


def test_the_broker_keeps_results_where_it_can():
    assert celery_addresses(Settings(celery_broker_url=REDIS)) == (REDIS, REDIS)
    assert celery_addresses(Settings(celery_broker_url="amqp://h")) == ("amqp://h", "rpc://")
    both = Settings(celery_broker_url="amqp://h", celery_backend_url=REDIS)
    assert celery_addresses(both) == ("amqp://h", REDIS)


def test_celery_without_a_broker_or_its_package_is_one_line(monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(SettingsError, match=r"=celery needs STOCK_ASSETS_CELERY_BROKER_URL \("):
        load_settings(executor="celery")
    monkeypatch.setitem(sys.modules, "dagster_celery", None)
    with pytest.raises(MissingLibraryError, match=r"pip install 'stock-assets\[celery\]'$"):
        executor_of(Settings(executor="celery", celery_broker_url=REDIS))
