from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from stock_assets.definitions import build_definitions
from stock_assets.settings import Settings

NEW_YORK = ZoneInfo("America/New_York")


@pytest.fixture(scope="module")
def live() -> dg.Definitions:
    return build_definitions(Settings(source="yahoo", first_session=date(2026, 1, 2)))


def requested(definitions: dg.Definitions, schedule: str, at: datetime) -> list[str]:
    context = dg.build_schedule_context(
        instance=dg.DagsterInstance.ephemeral(),
        scheduled_execution_time=at,
        repository_def=definitions.get_repository_def(),
    )
    tick = definitions.resolve_schedule_def(schedule).evaluate_tick(context)
    return [str(request.partition_key) for request in tick.run_requests or []]


@pytest.mark.parametrize(
    ("morning", "keys"),
    [
        (date(2026, 11, 20), ["2026-11-19"]),  # Friday: Thursday's session
        (date(2026, 11, 21), ["2026-11-20"]),  # Saturday: Friday's
        (date(2026, 11, 22), []),  # Sunday
        (date(2026, 11, 23), []),  # Monday: the weekend had no session
        (date(2026, 11, 24), ["2026-11-23"]),
        (date(2026, 11, 26), ["2026-11-25"]),  # Thanksgiving itself: Wednesday's
        (date(2026, 11, 27), []),  # the morning after Thanksgiving
        (date(2026, 11, 28), ["2026-11-27"]),
    ],
)
def test_the_daily_schedule_runs_each_session_once_on_the_morning_after(
    live: dg.Definitions, morning: date, keys: list[str]
):
    at = datetime(morning.year, morning.month, morning.day, 6, 30, tzinfo=NEW_YORK)
    assert requested(live, "daily", at) == keys


def test_the_monthly_schedule_trains_the_month_that_begins(live: dg.Definitions):
    # It comes after the daily run of the same morning, which closes the last session.
    assert requested(live, "monthly", datetime(2026, 10, 1, 8, tzinfo=NEW_YORK)) == ["2026-10"]


def test_a_source_that_has_ended_is_not_trained_for():
    sample = build_definitions(Settings())
    assert requested(sample, "monthly", datetime(2026, 10, 1, 8, tzinfo=NEW_YORK)) == []


def test_schedules_are_in_exchange_time_and_off_until_turned_on(live: dg.Definitions):
    for name, cron in (
        ("daily", "30 6 * * *"),
        ("monthly", "0 8 1 * *"),
        ("refetch", "30 7 * * 1-5"),
    ):
        schedule = live.resolve_schedule_def(name)
        assert (schedule.cron_schedule, schedule.execution_timezone) == (cron, "America/New_York")
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED


@pytest.mark.parametrize(
    ("morning", "first", "last"),
    [
        (date(2026, 11, 24), "2026-11-17", "2026-11-23"),
        (date(2026, 11, 27), "2026-11-19", "2026-11-25"),  # Thanksgiving was no session
    ],
)
def test_the_refetch_schedule_asks_for_the_last_five_sessions_in_one_run(
    live: dg.Definitions, morning: date, first: str, last: str
):
    at = datetime(morning.year, morning.month, morning.day, 7, 30, tzinfo=NEW_YORK)
    context = dg.build_schedule_context(
        instance=dg.DagsterInstance.ephemeral(),
        scheduled_execution_time=at,
        repository_def=live.get_repository_def(),
    )
    (request,) = live.resolve_schedule_def("refetch").evaluate_tick(context).run_requests or []
    assert request.tags["dagster/asset_partition_range_start"] == first
    assert request.tags["dagster/asset_partition_range_end"] == last
