"""Which runs of a backfill follow each other, as the instance of the checkout has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.environment import load_settings
from stock_assets.local.dagster_private.instance import SubmitRunContext
from stock_assets.local.run_order import IN_ORDER_TAG, RunOrder
from stock_assets.partitions import range_tags
from stock_assets_tests.conftest import CHECKOUT, make_home
from stock_assets_tests.dagster_runs import leave_run

BACKFILL = {"dagster/backfill": "b"}


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.chdir(make_home(tmp_path / "home"))
    with dg.DagsterInstance.from_config(str(CHECKOUT)) as opened:
        yield opened


@pytest.mark.parametrize(
    ("executor", "tags", "follows"),
    [
        ("celery", BACKFILL | range_tags("2012-10-01", "2012-10-05"), "b"),
        ("celery", BACKFILL | {"dagster/partition": "2012-10-01"}, "b"),
        ("celery", BACKFILL | range_tags("2012-10", "2012-12"), None),
        ("celery", BACKFILL | {"dagster/partition": "2012-10"}, None),
        ("celery", range_tags("2012-10-01", "2012-10-05"), None),
        # On one machine, months would share its cores and need twice the memory.
        ("in_process", BACKFILL | range_tags("2012-10", "2012-12"), "b"),
        ("multiprocess", BACKFILL | {"dagster/partition": "2012-10"}, "b"),
    ],
)
def test_sessions_of_a_backfill_follow_each_other_and_months_need_not_on_workers(
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    executor: str,
    tags: dict[str, str],
    follows: str | None,
):
    monkeypatch.setenv("STOCK_ASSETS_EXECUTOR", executor)
    monkeypatch.setenv("STOCK_ASSETS_CELERY_BROKER_URL", "redis://h")
    assert isinstance(instance.run_coordinator, RunOrder)
    name = "monthly_job" if "2012-10" in tags.values() else "daily_job"
    run = instance.get_run_by_id(leave_run(instance, load_settings(), name, "NOT_STARTED", **tags))
    assert run
    nowhere: Any = None
    queued = instance.run_coordinator.submit_run(SubmitRunContext(run, nowhere))
    assert queued.status == dg.DagsterRunStatus.QUEUED
    assert queued.tags.get(IN_ORDER_TAG) == follows
    limits = instance.get_concurrency_config().run_queue_config.tag_concurrency_limits
    assert {"key": IN_ORDER_TAG, "value": {"applyLimitPerUniqueValue": True}, "limit": 1} in limits
