"""Which runs of a backfill follow each other: `run_coordinator:` in dagster.yaml.

A run of sessions needs what the one before it stored. Runs of months do not: each reads sessions
alone, and waits by itself for an earlier month that it takes over from. Dagster can limit how many
runs with a tag go on at once, and gives all runs of a backfill the same tag. So those that follow
each other get one more, which dagster.yaml limits.
"""

import re

from dagster import DagsterRun

from stock_assets.environment import load_settings
from stock_assets.local.dagster_private.instance import QueuedRunCoordinator, SubmitRunContext
from stock_assets.local.dagster_private.runs import (
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
)

IN_ORDER_TAG = "stock_assets/in_order"
"""Runs with the same value follow each other."""
_MONTH = re.compile(r"\d{4}-\d{2}")


class RunOrder(QueuedRunCoordinator):
    """Dagster's queue of runs. What it is configured with is what Dagster's is."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        run = context.dagster_run
        backfill = run.tags.get(BACKFILL_ID_TAG)
        if backfill and not (_is_of_months(run) and _has_workers()):
            self._instance.add_run_tags(run.run_id, {IN_ORDER_TAG: backfill})
        return super().submit_run(context)


def _is_of_months(run: DagsterRun) -> bool:
    tags = run.tags
    key = tags.get(ASSET_PARTITION_RANGE_START_TAG, tags.get(PARTITION_NAME_TAG, ""))
    return bool(_MONTH.fullmatch(key))


def _has_workers() -> bool:
    """Whether steps may be done on several machines: on one, two trainings would share its cores
    and need twice the memory.
    """
    return load_settings().executor == "celery"
