"""When things run by themselves, in the exchange's time zone.

`daily` and `monthly` ask for what the plan says is due, whatever the reason: a session that is new,
one that an outage left out, prices that were revised, objects of older code. Ticks that find
nothing to do, or a run that is at it, say so. Why this is no declarative automation stands in
docs/architecture.md.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.due_now import due_now, waiting_months
from stock_assets.automation.jobs import (
    DAILY_JOB,
    DATASET_TAG,
    MONTHLY_JOB,
    REFETCH_JOB,
    TICK_TAG,
    WHY_TAG,
    config_of,
)
from stock_assets.automation.under_way import run_under_way
from stock_assets.errors import MissingPartitionsError, SettingsError
from stock_assets.local.dagster_private.launcher import PRIORITY_TAG
from stock_assets.local.dagster_private.runs import UnresolvedAssetJobDefinition as _Job
from stock_assets.partitions import Partitions, partition_keys, range_tags
from stock_assets.planning.lineage import MONTH_ASSETS, SESSION_ASSETS
from stock_assets.planning.plan import Plan
from stock_assets.planning.work import Work, months_due, neighbouring_ranges, runs_of_sessions
from stock_assets.settings import Settings

_Asked = Iterator[dg.RunRequest | dg.SkipReason]
BEFORE_BACKFILLS = "1"
"""Of runs in the queue that which has the highest goes first; those of a backfill have 0."""
_NOTHING_YET = dg.SkipReason("there is no session yet")


def all_schedules(
    jobs: Sequence[_Job],
    settings: Settings,
    partitions: Partitions,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> list[Any]:
    """The schedules.

    `daily`: through the morning, the sessions of which something is due. `monthly`: the same of
    months. `refetch`: the last sessions' prices once more, each week day.
    """
    by_name = {job.name: job for job in jobs}
    deployment = _Deployment(settings, partitions, clock)
    try:
        return [
            daily_schedule(by_name[settings.named(DAILY_JOB)], deployment),
            monthly_schedule(by_name[settings.named(MONTHLY_JOB)], deployment),
            refetch_schedule(by_name[settings.named(REFETCH_JOB)], deployment),
        ]
    except dg.DagsterInvalidDefinitionError as error:
        raise SettingsError(
            f"STOCK_ASSETS_DAILY_SCHEDULE, STOCK_ASSETS_MONTHLY_SCHEDULE: {error}"
        ) from None


def daily_schedule(job: _Job, deployment: "_Deployment") -> dg.ScheduleDefinition:
    """All that is due up to the newest session, after an outage of any length."""
    partitions = deployment.partitions

    def runs(plan: Plan) -> Iterable[Work]:
        every = partition_keys(partitions.sessions)
        works = list(runs_of_sessions(plan, every, partitions.sessions_per_run))
        # Who is delisted is due for good: asked for with others, else a run would fail all morning.
        return works if any(not work.config for work in works) else []

    @dg.schedule(
        name=deployment.settings.named("daily"),
        job=job,
        cron_schedule=deployment.settings.daily_schedule or ["30 6-11 * * *", "0 7-12 * * *"],
        default_status=deployment.status,
        execution_timezone=partitions.calendar.time_zone,
        description="At each tick: what is due up to the newest session, and nothing where nothing"
        " is.",
    )
    def daily(context: dg.ScheduleEvaluationContext) -> _Asked:
        return deployment.ask(context, (DAILY_JOB, REFETCH_JOB), SESSION_ASSETS, runs)

    return daily


def monthly_schedule(job: _Job, deployment: "_Deployment") -> dg.ScheduleDefinition:
    """The month that has begun, and any other that is due, as soon as its sessions are there."""
    partitions = deployment.partitions

    def runs(plan: Plan) -> Iterable[Work]:
        every = partition_keys(partitions.months)
        for work in months_due(plan):
            for first, last in neighbouring_ranges(work.keys, every, partitions.months_per_run):
                yield replace(work, keys=[key for key in work.keys if first <= key <= last])

    @dg.schedule(
        name=deployment.settings.named("monthly"),
        job=job,
        cron_schedule=deployment.settings.monthly_schedule or ["0 8-12 * * *", "30 8-11 * * *"],
        default_status=deployment.status,
        execution_timezone=partitions.calendar.time_zone,
        description="At each tick: the models of months that are due.",
    )
    def monthly(context: dg.ScheduleEvaluationContext) -> _Asked:
        jobs = (DAILY_JOB, REFETCH_JOB, MONTHLY_JOB)
        return deployment.ask(context, jobs, (*SESSION_ASSETS, *MONTH_ASSETS), runs)

    return monthly


def refetch_schedule(job: _Job, deployment: "_Deployment") -> dg.ScheduleDefinition:
    """Fetches the newest sessions again in one run. What a revision made stale, `daily` finds."""
    settings, partitions = deployment.settings, deployment.partitions
    sessions_back = settings.refetch_sessions

    @dg.schedule(
        name=settings.named("refetch"),
        job=job,
        cron_schedule="30 7 * * 1-5",
        default_status=deployment.status,
        execution_timezone=partitions.calendar.time_zone,
        description=f"Each week day: the last {sessions_back} sessions' prices again; what their"
        " revisions make stale is due then.",
    )
    def refetch(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at = context.scheduled_execution_time
        keys = partitions.sessions.get_partition_keys(current_time=at)[-sessions_back:]
        if not keys:
            return _NOTHING_YET
        tags = {
            **range_tags(keys[0], keys[-1]),
            DATASET_TAG: settings.dataset_name,
            PRIORITY_TAG: BEFORE_BACKFILLS,
        }
        return dg.RunRequest(run_key=f"{at:%Y-%m-%d}", tags=tags)

    return refetch


@dataclass(frozen=True)
class _Deployment:
    """What a tick looks at."""

    settings: Settings
    partitions: Partitions
    clock: Callable[[], datetime]

    @property
    def status(self) -> dg.DefaultScheduleStatus:
        on = dg.DefaultScheduleStatus
        return on.RUNNING if self.settings.schedules_on else on.STOPPED

    def ask(
        self,
        context: dg.ScheduleEvaluationContext,
        jobs: Sequence[str],
        assets: Sequence[str],
        runs: Callable[[Plan], Iterable[Work]],
    ) -> _Asked:
        """What one tick asks for: runs of what is due, or why there are none.

        Args:
            context: Of the tick.
            jobs: Whose runs it does not interfere with.
            assets: The same of runs that make some of these.
            runs: What is asked for of a plan.
        """
        at, dataset = context.scheduled_execution_time, self.settings.dataset_name
        # Before the plan: what a run stores in the meantime would be asked for again.
        names = [self.settings.named(job) for job in jobs]
        by = run_under_way(context.instance, dataset, names, assets, self.clock())
        # The partitions that there were at the time of the tick, should it come late.
        with dg.partition_loading_context(at):
            try:
                today = at.astimezone(ZoneInfo(self.partitions.calendar.time_zone)).date()
                plan = due_now(self.settings, self.partitions, today)
            except MissingPartitionsError:
                yield _NOTHING_YET
                return
            works = list(runs(plan)) if plan else []
        if not works:
            yield dg.SkipReason(_why_nothing(plan, assets))
        elif by:
            yield dg.SkipReason(f"something is due ({works[0].why}) and {by} is at it")
        else:
            for number, work in enumerate(works):
                yield _request(self.settings, work, f"{at:%Y-%m-%dT%H:%M%z}", number)


def _why_nothing(plan: Plan | None, assets: Sequence[str]) -> str:
    if plan is None:
        return "nothing is stored yet, and the source's prices have ended: see `stock-assets run`"
    waiting = waiting_months(plan) if assets[-1] in MONTH_ASSETS else {}
    if waiting:
        month, reason = next(iter(waiting.items()))
        return f"{len(waiting)} months can't be made yet: {month} is {reason}"
    if plan.due.get(Asset.RAW_PRICES):
        return "nothing is due but tickers never fetched: asked for with the next session"
    return "nothing is due"


def _request(settings: Settings, work: Work, tick: str, number: int) -> dg.RunRequest:
    dataset = settings.dataset_name
    return dg.RunRequest(
        # Of the tick: one that is killed and repeated asks for the same runs.
        run_key=f"{tick} {number}",
        asset_selection=[asset_key(dataset, asset) for asset in work.assets],
        run_config=config_of(settings, work.config),
        tags={
            **range_tags(work.keys[0], work.keys[-1]),
            DATASET_TAG: dataset,
            TICK_TAG: f"{dataset} {tick}",
            PRIORITY_TAG: BEFORE_BACKFILLS,
            WHY_TAG: work.why,
        },
    )
