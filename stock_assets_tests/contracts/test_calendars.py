"""The packaged session tables against exchange_calendars, which they were made from."""

from datetime import date

import exchange_calendars
import pytest

from stock_assets.market.sessions import load_calendar


@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "XTKS"])
def test_the_packaged_sessions_are_those_of_exchange_calendars(exchange: str):
    ours = load_calendar(exchange)
    theirs = exchange_calendars.get_calendar(
        exchange, start=ours.first.isoformat(), end=ours.last.isoformat()
    )
    assert [session.date() for session in theirs.sessions] == list(ours.sessions)
    assert str(theirs.tz) == ours.time_zone
    assert theirs.open_times[-1][1].strftime("%H:%M") == ours.open
    assert theirs.close_times[-1][1].strftime("%H:%M") == ours.close


@pytest.mark.parametrize("exchange", ["XNYS", "XLON", "XTKS"])
def test_the_tables_reach_at_least_two_years_ahead(exchange: str):
    assert load_calendar(exchange).last.year >= date.today().year + 2  # noqa: DTZ011
