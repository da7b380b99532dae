from datetime import date

import polars as pl
import pytest

from stock_assets.errors import UnknownTickerError
from stock_assets.market.sources.sample import SampleSource, sample_bars


def events(column: str, none: float, ticker: str) -> list[tuple[date, float]]:
    found = sample_bars().filter(pl.col("ticker") == ticker, pl.col(column) != none)
    return found.select("session", column).rows()


def test_the_known_splits_are_derived_and_no_other():
    assert events("split_ratio", 1.0, "AAPL") == [
        (date(2000, 6, 21), 2.0),
        (date(2005, 2, 28), 2.0),
    ]
    assert events("split_ratio", 1.0, "MSFT") == [(date(2003, 2, 18), 2.0)]
    assert [events("split_ratio", 1.0, t) for t in ("FB", "GOOG", "IBM")] == [[], [], []]


def test_the_known_dividends_are_derived():
    assert events("dividend", 0.0, "AAPL") == [
        (date(2012, 8, 9), 2.65),
        (date(2012, 11, 7), 2.65),
        (date(2013, 2, 7), 2.65),
    ]
    msft = dict(events("dividend", 0.0, "MSFT"))
    assert msft[date(2004, 11, 15)] == pytest.approx(3.08)  # the special dividend of 3.00, and 0.08
    assert len(events("dividend", 0.0, "IBM")) == 52  # quarterly, 13 years
    assert events("dividend", 0.0, "GOOG") == []


def test_a_ticker_has_no_bar_before_it_was_listed():
    bars = SampleSource().fetch_bars(["FB", "IBM"], date(2012, 5, 16), date(2012, 5, 21))
    assert bars.select("ticker", pl.col("session").dt.day()).rows() == [
        ("FB", 18),
        ("FB", 21),
        *(("IBM", day) for day in (16, 17, 18, 21)),
    ]


def test_an_unknown_ticker_is_refused_by_name():
    with pytest.raises(UnknownTickerError, match="no NVDA; it has AAPL, FB"):
        SampleSource().fetch_bars(["AAPL", "NVDA"], date(2012, 1, 3), date(2012, 1, 4))
