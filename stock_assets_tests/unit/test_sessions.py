from datetime import date

import pytest

from stock_assets.errors import NotASessionError, OutsideCalendarError, UnknownCalendarError
from stock_assets.market.sessions import ExchangeCalendar, load_calendar


def test_hurricane_sandy_closed_new_york_for_two_sessions(xnys: ExchangeCalendar):
    assert xnys.between(date(2012, 10, 25), date(2012, 11, 1)) == (
        date(2012, 10, 25),
        date(2012, 10, 26),
        date(2012, 10, 31),
        date(2012, 11, 1),
    )


def test_the_session_after_friday_before_a_holiday_is_tuesday(xnys: ExchangeCalendar):
    assert xnys.next_session(date(2013, 1, 18)) == date(2013, 1, 22)  # Martin Luther King day
    assert xnys.previous_session(date(2013, 1, 22)) == date(2013, 1, 18)
    assert xnys.offset(date(2013, 1, 18), -3) == date(2013, 1, 15)


def test_last_before_is_strict(xnys: ExchangeCalendar):
    assert xnys.last_before(date(2012, 10, 1)) == date(2012, 9, 28)
    assert xnys.last_before(date(2012, 9, 30)) == date(2012, 9, 28)


def test_a_holiday_is_no_session(xnys: ExchangeCalendar):
    assert not xnys.is_session(date(2012, 12, 25))
    assert not xnys.is_session(date(2012, 12, 22))
    assert xnys.is_session(date(2012, 12, 24))
    with pytest.raises(NotASessionError, match="2012-12-25 is not a session of XNYS"):
        xnys.next_session(date(2012, 12, 25))


def test_days_are_the_sessions_as_numbers(xnys: ExchangeCalendar):
    assert xnys.days.tolist() == [(day - date(1970, 1, 1)).days for day in xnys.sessions]


def test_ordinals_count_sessions(xnys: ExchangeCalendar):
    ordinals = xnys.ordinals([date(2012, 10, 26), date(2012, 10, 31), date(2012, 11, 2)])
    assert ordinals[date(2012, 10, 31)] - ordinals[date(2012, 10, 26)] == 1
    assert ordinals[date(2012, 11, 2)] - ordinals[date(2012, 10, 26)] == 3


def test_dates_outside_the_table_are_refused(xnys: ExchangeCalendar):
    with pytest.raises(OutsideCalendarError, match="1989-12-31 is outside the sessions of XNYS"):
        xnys.is_session(date(1989, 12, 31))
    with pytest.raises(OutsideCalendarError, match=r"\+5 sessions from 2030-12-31"):
        xnys.offset(date(2030, 12, 31), 5)


def test_an_unknown_exchange_names_the_known_ones():
    with pytest.raises(UnknownCalendarError, match="'XMOON'; packaged: XLON, XNYS, XTKS"):
        load_calendar("XMOON")


def test_london_and_tokyo_have_their_own_days_and_zones():
    london, tokyo = load_calendar("XLON"), load_calendar("XTKS")
    assert (london.time_zone, tokyo.time_zone) == ("Europe/London", "Asia/Tokyo")
    assert not london.is_session(date(2024, 8, 26))  # summer bank holiday
    assert not tokyo.is_session(date(2024, 9, 16))  # respect for the aged day
    assert tokyo.is_session(date(2024, 8, 26))
