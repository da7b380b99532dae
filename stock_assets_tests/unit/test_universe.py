from datetime import date

import polars as pl

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
