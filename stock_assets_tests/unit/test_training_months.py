"""Whose parameters a month takes over, and whether it can be trained: by the calendar alone."""

from dataclasses import replace
from datetime import date

import pytest

from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.market.sessions import load_calendar

LONG_AGO = TrainingMonths(
    load_calendar("XNYS"),
    first=date(2010, 1, 4),
    train_months=24,
    test_sessions=30,
    min_train_sessions=120,
    horizon=1,
    retune_months=3,
)


def test_the_first_month_of_a_block_lends_to_those_after_it():
    months = [f"2013-{month:02d}" for month in range(1, 8)]
    assert [LONG_AGO.lender(month) for month in months] == [
        "2013-01", "2013-01", "2013-01", "2013-04", "2013-04", "2013-04", "2013-07",
    ]  # fmt: skip
    assert replace(LONG_AGO, retune_months=1).lender("2013-02") == "2013-02"
    # Blocks of five months are counted from year 0, whatever the year begins with.
    by_five = replace(LONG_AGO, retune_months=5)
    assert [by_five.lender(f"2013-{m:02d}") for m in (3, 4, 5, 9)] == [
        "2012-12", "2012-12", "2013-05", "2013-05",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "lenders"),
    [
        # From the 74th session on features are complete: 223 are needed. 2012 had 250.
        (date(2012, 2, 10), ["2013-01", "2013-01", "2013-01"]),
        (date(2012, 2, 13), ["2013-01", "2013-02", "2013-02"]),
        (date(2012, 3, 13), ["2013-01", "2013-02", "2013-02"]),  # January 2013 had 21
        (date(2012, 3, 14), ["2013-01", "2013-02", "2013-03"]),
        (date(2013, 2, 1), ["2013-01", "2013-02", "2013-03"]),
        (date(2013, 3, 15), ["2013-01", "2013-02", "2013-03"]),
    ],
)
def test_a_month_without_history_lends_nothing(first: date, lenders: list[str]):
    months = replace(LONG_AGO, first=first)
    assert [months.lender(f"2013-{m:02d}") for m in (1, 2, 3)] == lenders


def test_prices_that_begin_with_the_calendar_leave_the_first_block_its_own():
    calendar = LONG_AGO.calendar
    months = replace(LONG_AGO, first=calendar.first)
    begin = calendar.first
    keys = [f"{begin.year}-{begin.month + n:02d}" for n in range(3)]
    assert [months.lender(key) for key in keys] == keys


def test_lenders_come_with_their_months():
    assert LONG_AGO.with_lenders(["2013-06", "2013-03"]) == [
        "2013-01", "2013-03", "2013-04", "2013-06",
    ]  # fmt: skip
    assert LONG_AGO.with_lenders([]) == []


def test_a_shortfall_says_how_many_sessions_there_are():
    assert LONG_AGO.shortfall("2013-01") is None
    late = replace(LONG_AGO, first=date(2012, 9, 4))
    assert late.shortfall("2013-01", date(2013, 1, 15)) == (
        "18 sessions with complete features up to 2013-01-15, 150 are needed (prices begin"
        " 2012-09-04)"
    )


def test_a_month_is_trained_on_what_lies_before_it_or_through_a_session_of_its_own():
    split = LONG_AGO.split("2013-01")
    assert (split.train_first, split.train_last) == (date(2011, 1, 1), date(2012, 11, 13))
    assert (split.test_first, split.test_last) == (date(2012, 11, 15), date(2012, 12, 28))
    assert split.trained_through == LONG_AGO.cut_off("2013-01") == date(2012, 12, 31)
    later = LONG_AGO.split("2013-01", date(2013, 1, 2))
    assert (later.train_last, later.test_last) == (date(2012, 11, 14), date(2012, 12, 31))
