"""When things run by themselves, in the exchange's time zone. All are off until turned on."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_JOB, REFETCH_JOB
from stock_assets.local.dagster_private.runs import UnresolvedAssetJobDefinition
from stock_assets.partitions import range_tags


def all_schedules(jobs: Sequence[UnresolvedAssetJobDefinition], refetch_sessions: int) -> list[Any]:
    """The schedules.

    `daily`: the morning after each session. `monthly`: retraining on the month's first day.
    `refetch`: the last sessions' prices once more, each week day.
    """
    by_name = {job.name: job for job in jobs}
    return [
        dg.build_schedule_from_partitioned_job(
            by_name[DAILY_JOB],
            name="daily",
            hour_of_day=6,
            minute_of_hour=30,
            description="The morning after each session, never after a day without one.",
        ),
        monthly_schedule(by_name[MONTHLY_JOB]),
        refetch_schedule(by_name[REFETCH_JOB], refetch_sessions),
    ]


def monthly_schedule(job: UnresolvedAssetJobDefinition) -> dg.ScheduleDefinition:
    """Retrains for the month that begins, after the daily run has closed the last session."""
    months = job.partitions_def
    assert isinstance(months, dg.TimeWindowPartitionsDefinition)  # noqa: S101  # for the type

    @dg.schedule(
        name="monthly",
        job=job,
        cron_schedule="0 8 1 * *",
        execution_timezone=months.timezone,
        description="On the first of a month: a model with data through the session before.",
    )
    def monthly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        key = context.scheduled_execution_time.strftime(months.fmt)
        if not months.has_partition_key(key):
            return dg.SkipReason(f"there is no month {key}: the source's prices end before it")
        return dg.RunRequest(run_key=key, partition_key=key)

    return monthly


def refetch_schedule(
    job: UnresolvedAssetJobDefinition, sessions_back: int
) -> dg.ScheduleDefinition:
    """Fetches the newest sessions again in one run: what the source revised is recorded."""
    sessions = job.partitions_def
    assert isinstance(sessions, dg.TimeWindowPartitionsDefinition)  # noqa: S101  # for the type

    @dg.schedule(
        name="refetch",
        job=job,
        cron_schedule="30 7 * * 1-5",
        execution_timezone=sessions.timezone,
        description=f"Each week day: the last {sessions_back} sessions' prices and features again.",
    )
    def refetch(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        keys = sessions.get_partition_keys(current_time=at)[-sessions_back:]
        if not keys:
            return dg.SkipReason("there is no session yet")
        return dg.RunRequest(run_key=f"{at:%Y-%m-%d}", tags=range_tags(keys[0], keys[-1]))

    return refetch
