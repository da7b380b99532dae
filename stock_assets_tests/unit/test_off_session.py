import math
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_assets.errors import OffSessionError
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.off_session import first_day_of, refuse_many, set_apart
from stock_assets.market.sessions import ExchangeCalendar, load_calendar

XNYS = load_calendar("XNYS")
FRIDAY, SATURDAY, SUNDAY = date(2013, 1, 4), date(2013, 1, 5), date(2013, 1, 6)
MONDAY, TUESDAY = date(2013, 1, 7), date(2013, 1, 8)


def bars(*rows: tuple[str, date, float, float | None, float | None]) -> pl.DataFrame:
    """Of ticker, day, close, dividend and split ratio."""
    return pl.DataFrame(
        [(t, day, c, c, c, c, 1.0, d, s) for t, day, c, d, s in rows], BAR_SCHEMA, orient="row"
    ).sort("ticker", "session")


def test_a_day_belongs_to_the_session_that_follows_it(xnys: ExchangeCalendar):
    assert first_day_of(MONDAY, xnys) == SATURDAY
    assert first_day_of(TUESDAY, xnys) == TUESDAY
    assert first_day_of(date(2013, 1, 2), xnys) == date(2013, 1, 1)  # New Year's Day
    assert first_day_of(date(1990, 1, 2), xnys) == date(1990, 1, 2)  # the table's first


def test_events_go_to_the_tickers_next_bar_in_its_shares(xnys: ExchangeCalendar):
    """A share of Friday: 4 of Saturday's, each paid 3; 8 of Sunday's, each paid 1; 16 of Monday's.

    Each of Monday's holds 12/16 + 8/16 of what was paid, and Monday's own 0.5.
    """
    given = bars(
        ("A", FRIDAY, 160.0, 0.0, 1.0),
        ("A", SATURDAY, 40.0, 3.0, 4.0),
        ("A", SUNDAY, 20.0, 1.0, 2.0),
        ("A", MONDAY, 10.0, 0.5, 2.0),
        ("A", TUESDAY, 10.0, 0.0, 1.0),
        ("B", MONDAY, 10.0, 0.0, 1.0),
    )
    kept, off = set_apart(given, xnys)
    assert kept.select("ticker", "session", "dividend", "split_ratio").rows() == [
        ("A", FRIDAY, 0.0, 1.0),
        ("A", MONDAY, 1.75, 16.0),
        ("A", TUESDAY, 0.0, 1.0),
        ("B", MONDAY, 0.0, 1.0),
    ]
    assert kept.schema == given.schema
    assert off.select("session", "close", "dividend", "split_ratio", "carried_to").rows() == [
        (SATURDAY, 40.0, 3.0, 4.0, MONDAY),
        (SUNDAY, 20.0, 1.0, 2.0, MONDAY),
    ]


def test_what_no_bar_can_take_is_said_and_what_has_no_event_goes_nowhere(xnys: ExchangeCalendar):
    given = bars(
        ("A", SATURDAY, 1.0, 0.0, 1.0),
        ("A", MONDAY, 1.0, 0.0, 1.0),
        ("B", FRIDAY, 1.0, 0.0, 1.0),
        ("B", SATURDAY, 1.0, 0.2, 1.0),
        ("C", SATURDAY, 1.0, -0.2, 1.0),
        ("C", MONDAY, 1.0, 0.0, 1.0),
        ("D", SATURDAY, 1.0, None, None),
        ("D", MONDAY, 1.0, 0.0, 1.0),
    )
    kept, off = set_apart(given, xnys)
    assert kept.equals(given.filter(pl.col("session") != SATURDAY))
    assert off["ticker"].to_list() == ["A", "B", "C", "D"]
    assert off["carried_to"].null_count() == 4


def test_bars_on_sessions_stay_as_they_are(xnys: ExchangeCalendar):
    given = bars(("A", FRIDAY, 1.0, None, 1.0), ("A", MONDAY, float("nan"), 0.1, 0.0))
    kept, off = set_apart(given, xnys)
    assert kept is given
    assert off.is_empty()


@st.composite
def histories(draw) -> list[tuple[date, float, float, float]]:
    """Day, close, dividend, split ratio of a ticker with bars on any day, sessions at the ends."""
    days = draw(
        st.lists(st.integers(1, 27), unique=True, max_size=20).map(
            lambda found: [0, *sorted(found), 28]
        )
    )
    price = st.floats(1, 100)
    event = st.one_of(st.just((0.0, 1.0)), st.tuples(st.floats(0, 5), st.sampled_from([0.5, 3.0])))
    return [(FRIDAY + timedelta(n), draw(price), *draw(event)) for n in days]


@given(histories())
@hypothesis_settings(deadline=None, max_examples=60)
def test_a_holders_shares_and_dividends_are_conserved(rows):
    """The oracle holds one share and counts: shares now, and what each was paid, in shares now."""
    kept, _ = set_apart(bars(*(("A", *row) for row in rows)), XNYS)
    shares, paid = 1.0, 0.0
    expected = []
    for day, close, dividend, split in rows[1:]:
        shares *= split
        paid += shares * dividend
        if day.weekday() < 5 and day != date(2013, 1, 21):
            expected.append((day, shares * close + paid))
            shares, paid = 1.0, 0.0
    got = kept.filter(pl.col("session") > FRIDAY).select(
        "session", (pl.col("close") + pl.col("dividend")) * pl.col("split_ratio")
    )
    assert got["session"].to_list() == [day for day, _ in expected]
    for (_, wealth), (_, oracle) in zip(got.rows(), expected, strict=True):
        assert math.isclose(wealth, oracle, rel_tol=1e-9)


def test_many_days_and_bars_off_session_are_another_calendar(xnys: ExchangeCalendar):
    days = [FRIDAY + timedelta(n) for n in range(28)]
    shifted = bars(*(("7203.T", day, 1.0, 0.0, 1.0) for day in days if day.weekday() not in (4, 5)))
    _, off = set_apart(shifted, xnys)
    with pytest.raises(
        OffSessionError,
        match=r"5 of 20 bars of files lie on 5 days without a session of XNYS"
        r" \(7203\.T Sun 2013-01-06, .*\); set STOCK_ASSETS_CALENDAR .*time zone",
    ):
        refuse_many(off, 20, xnys, "files")
    refuse_many(off, 250, xnys, "files")  # 2 % and no more
    three = off.filter(pl.col("session") < date(2013, 1, 21))
    assert three.height == 3
    refuse_many(three, 4, xnys, "files")
