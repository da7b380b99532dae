from datetime import date

import polars as pl

from stock_assets.market.membership import MEMBER_SCHEMA, Membership
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.sources.sample import TICKERS, sample_bars
from stock_assets.market.universe import empty_sessions, expected_bars, missing_bars

WEDNESDAY, THURSDAY, FRIDAY = date(2012, 5, 16), date(2012, 5, 17), date(2012, 5, 18)


def test_facebook_is_not_expected_before_its_first_day(xnys: ExchangeCalendar):
    sessions = xnys.between(WEDNESDAY, date(2012, 5, 22))
    bars = sample_bars().filter(pl.col("session").is_in(list(sessions)))
    expected = expected_bars(bars, sessions, TICKERS)
    assert expected.filter(pl.col("ticker") == "FB")["session"].to_list() == [
        FRIDAY, date(2012, 5, 21), date(2012, 5, 22),
    ]  # fmt: skip
    assert missing_bars(expected, bars).is_empty()


def test_a_ticker_that_was_there_before_is_missed_from_the_first_session_on():
    bars = pl.DataFrame({"ticker": ["A", "B", "B"], "session": [WEDNESDAY, THURSDAY, FRIDAY]})
    sessions = (WEDNESDAY, THURSDAY, FRIDAY)
    young = missing_bars(expected_bars(bars, sessions, ["A", "B", "C"]), bars)
    assert young.rows() == [("A", THURSDAY), ("A", FRIDAY)]
    known = missing_bars(expected_bars(bars, sessions, ["A", "B", "C"], {"B", "C", "X"}), bars)
    assert known.rows() == [
        ("A", THURSDAY), ("A", FRIDAY), ("B", WEDNESDAY),
        ("C", WEDNESDAY), ("C", THURSDAY), ("C", FRIDAY),
    ]  # fmt: skip


def test_a_session_is_empty_when_all_who_are_expected_are_missing():
    bars = pl.DataFrame({"ticker": ["A", "A"], "session": [WEDNESDAY, FRIDAY]})
    sessions = (WEDNESDAY, THURSDAY, FRIDAY)
    assert empty_sessions(expected_bars(bars, sessions, ["A", "B"]), bars) == [THURSDAY]
    # Before anybody was listed there was nothing to miss.
    late = bars.filter(pl.col("session") == FRIDAY)
    assert empty_sessions(expected_bars(late, sessions, ["A"]), late) == []


def test_a_member_is_expected_within_its_spells_and_at_no_other_time():
    spells = [("A", WEDNESDAY, WEDNESDAY), ("A", FRIDAY, None), ("B", THURSDAY, THURSDAY)]
    membership = Membership(pl.DataFrame(spells, MEMBER_SCHEMA, orient="row"))
    sessions = (WEDNESDAY, THURSDAY, FRIDAY)
    bars = pl.DataFrame({"ticker": ["A"] * 3, "session": sessions})
    # B never had a bar; without a table nobody would miss it.
    expected = expected_bars(bars, sessions, ["A", "B", "C"], {"A", "C"}, membership)
    assert expected.rows() == [("A", WEDNESDAY), ("A", FRIDAY), ("B", THURSDAY)]
    assert missing_bars(expected, bars).rows() == [("B", THURSDAY)]
    assert expected_bars(bars, sessions, ["A"], (), membership)["ticker"].unique().to_list() == [
        "A"
    ]
