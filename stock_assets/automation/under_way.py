"""Runs that are not over: what they are at is not asked for a second time."""

from collections.abc import Collection
from datetime import datetime

import dagster as dg

from stock_assets.assets.earlier_runs import LONGEST_SILENCE, UNFINISHED
from stock_assets.automation.jobs import COMMAND_TAG, assets_asked_of, is_of_dataset

__all__ = ["UNFINISHED", "run_under_way"]


def run_under_way(
    instance: dg.DagsterInstance,
    dataset: str,
    jobs: Collection[str],
    assets: Collection[str],
    now: datetime,
) -> str | None:
    """What makes something of a dataset at the moment, in words; None where nothing does.

    A run whose machine died stays "started" for good and must not block all others: it counts while
    its status changed within the last hours.

    Args:
        instance: Where runs are looked up.
        dataset: Runs of another one are none of ours.
        jobs: Whose runs count.
        assets: Runs that were asked for one of these count too, as are those of the page.
        now: The time by the clock.
    """
    since = now - LONGEST_SILENCE
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, updated_after=since)):
        concerns_us = (
            run.job_name in jobs or COMMAND_TAG in run.tags or assets_asked_of(run) & set(assets)
        )
        if concerns_us and is_of_dataset(run, dataset):
            by = "of a command" if COMMAND_TAG in run.tags else f"of {run.job_name}"
            return f"run {run.run_id[:8]} {by}"
    return None
