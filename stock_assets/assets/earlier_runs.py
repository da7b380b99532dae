"""What a run of months waits for: earlier runs that are still to make months before its own.

Runs of months go on side by side. What a month takes over from an earlier one, parameters or
champions, may be made by a run that is not over: Dagster orders assets, not the months of one.
"""

import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta

import dagster as dg

from stock_assets.asset_keys import asset_name
from stock_assets.local.dagster_private.runs import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)
from stock_assets.resources.stamper import Stamper

UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
LONGEST_SILENCE = timedelta(hours=3)
"""A run whose machine died stays "started" for good: it counts while its status changed since."""
_LOOK_SECONDS = 2.0
_ATTEMPT_SECONDS = 30.0
_ATTEMPTS = 100_000


def wait_for_earlier_runs(
    context: dg.AssetExecutionContext, stamper: Stamper, last: str, first: str = ""
) -> None:
    """Waits while runs that were asked for before this one are still to make some months.

    Others write meanwhile. Where none can, because a command holds the right to write, nobody is
    waited for: a command plans again until nothing is due. A step that waits for long is given back
    to Dagster, which asks for it again: its worker may be the one that the other run needs.

    Args:
        context: Of the step; other runs are looked at for its own asset.
        stamper: Of its run.
        last: The last of the months, all of which lie before the run's own.
        first: The first of them; left out: all up to the last.

    Raises:
        RetryRequested: They are not made yet.
    """
    until = time.monotonic() + _ATTEMPT_SECONDS
    with stamper.while_others_write() as others_write:
        told = None
        while others_write and (run := _run_to_make(context, stamper, first, last)):
            if run != told:
                told = run
                asset = asset_name(context.asset_key)
                context.log.info(f"waiting for run {run[:8]}, which makes {asset} of months before")
            if time.monotonic() >= until:
                raise dg.RetryRequested(max_retries=_ATTEMPTS)
            time.sleep(_LOOK_SECONDS)


def wait_for_lenders(
    context: dg.AssetExecutionContext,
    stamper: Stamper,
    lender: Callable[[str], str],
    months: Collection[str],
) -> None:
    """The same for the months that lend their parameters to the run's own, and are none of them.

    Raises:
        RetryRequested: They are not made yet.
    """
    for one in sorted({lender(month) for month in months}.difference(months)):
        wait_for_earlier_runs(context, stamper, last=one, first=one)


def _run_to_make(
    context: dg.AssetExecutionContext, stamper: Stamper, first: str, last: str
) -> str | None:
    """A run that was asked for before this one, is not over, and has some of the months to make."""
    own = context.instance.get_run_record_by_id(context.run.run_id)
    since = datetime.now(UTC) - LONGEST_SILENCE
    unfinished = dg.RunsFilter(statuses=UNFINISHED, updated_after=since)
    for record in context.instance.get_run_records(unfinished):
        run = record.dagster_run
        if own is None or record.storage_id >= own.storage_id or not _makes(run, context):
            continue
        newest = min(last, run.tags.get(ASSET_PARTITION_RANGE_END_TAG, _only_key(run)))
        if max(first, run.tags.get(ASSET_PARTITION_RANGE_START_TAG, _only_key(run))) > newest:
            continue
        # Months are stored in order.
        stamp = stamper.stamp_of(asset_name(context.asset_key), newest)
        made_at = stamp.made_at if stamp else ""  # an older release did not say when
        if not made_at or datetime.fromisoformat(made_at) < record.create_timestamp:
            return run.run_id
    return None


def _makes(run: dg.DagsterRun, context: dg.AssetExecutionContext) -> bool:
    """Whether a run makes the asset of a step; one of a whole job says so by its name."""
    if run.asset_selection is None:
        return run.job_name == context.run.job_name
    return context.asset_key in run.asset_selection


def _only_key(run: dg.DagsterRun) -> str:
    return run.tags.get(PARTITION_NAME_TAG, "")
