from datetime import date, datetime
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from dagster import partition_loading_context

from stock_assets.deployment import load_partitions
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.partitions import (
    Partitions,
    month_key,
    month_of,
    months_before,
    partition_keys,
)
from stock_assets.settings import Settings


def test_session_keys_are_the_exchanges_sessions(xnys: ExchangeCalendar):
    sample = load_partitions(Settings())
    keys = sample.sessions.get_partition_keys()
    assert keys == [str(s) for s in xnys.between(date(2000, 3, 1), date(2013, 3, 1))]
    assert len(keys) == 3270


def test_months_of_a_source_that_ends_end_with_it():
    keys = load_partitions(Settings()).months.get_partition_keys()
    assert (keys[0], keys[-1], len(keys)) == ("2000-03", "2013-03", 157)


def test_a_source_that_ends_inside_the_current_month_has_that_month(xnys: ExchangeCalendar):
    zone = ZoneInfo(xnys.time_zone)
    ended = Partitions(xnys, date(2026, 8, 3), date(2026, 11, 20))
    for now in (datetime(2026, 11, 24, 9, tzinfo=zone), datetime(2027, 3, 2, tzinfo=zone)):
        assert ended.sessions.get_partition_keys(now)[-1] == "2026-11-20"
        months = ended.months.get_partition_keys(now)
        assert months == ["2026-08", "2026-09", "2026-10", "2026-11"]
    # Of a last session that lies ahead there is only what has begun.
    ahead = Partitions(xnys, date(2026, 8, 3), date(2027, 2, 26))
    assert ahead.months.get_partition_keys(datetime(2026, 10, 31, tzinfo=zone))[-1] == "2026-10"


@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "XTKS"])
def test_no_key_lies_in_the_future_and_the_current_month_exists(exchange: str):
    calendar = load_calendar(exchange)
    zone = ZoneInfo(calendar.time_zone)
    live = Partitions(calendar, date(2026, 1, 1), None)
    saturday = datetime(2026, 10, 31, 12, tzinfo=zone)
    assert live.sessions.get_partition_keys(saturday)[-1] == "2026-10-30"
    assert live.months.get_partition_keys(saturday)[-1] == "2026-10"
    # Monday morning: Monday is not over, so its key does not exist yet; November does.
    monday = datetime(2026, 11, 9, 9, tzinfo=zone)
    assert live.sessions.get_partition_keys(monday)[-1] == "2026-11-06"
    assert live.months.get_partition_keys(monday)[-1] == "2026-11"


def test_keys_that_are_known_grow_with_time(xnys: ExchangeCalendar):
    going_on = Partitions(xnys, date(2026, 1, 2), None).sessions
    for day, newest in ((5, "2026-11-04"), (6, "2026-11-05"), (6, "2026-11-05")):
        now = datetime(2026, 11, day, 12, tzinfo=ZoneInfo("America/New_York"))
        with partition_loading_context(now):
            keys = partition_keys(going_on)
            assert list(keys) == going_on.get_partition_keys()
        assert keys[-1] == newest


def test_the_last_friday_of_a_month_maps_to_that_month_alone():
    sample = load_partitions(Settings())
    mapped = dg.TimeWindowPartitionMapping().get_upstream_mapped_partitions_result_for_partitions(
        sample.sessions.subset_with_partition_keys(["2012-08-31"]),
        sample.sessions,
        sample.months,
    )
    assert list(mapped.partitions_subset.get_partition_keys()) == ["2012-08"]


def test_month_arithmetic():
    assert month_of("2012-10") == date(2012, 10, 1)
    assert month_key(date(2012, 10, 31)) == "2012-10"
    assert months_before(date(2012, 2, 1), 36) == date(2009, 2, 1)
    assert months_before(date(2012, 2, 1), 2) == date(2011, 12, 1)
