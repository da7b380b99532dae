"""The http source against servers on loopback that answer as vendors do, faults included."""

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest

from stock_assets.errors import (
    AccessRefusedError,
    EmptyAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnexpectedShapeError,
    UnknownTickerError,
    UnsettledSessionError,
)
from stock_assets.market.sources.asking import RetryPolicy
from stock_assets.market.sources.http_source import HttpSource, HttpVendor
from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.http_stand_in import KEY, HttpStandIn

FIRST, LAST = date(2005, 2, 22), date(2005, 3, 4)
"""AAPL split two for one on 2005-02-28."""
TIINGO = {"dividend": "divCash", "split_ratio": "splitFactor"}
AT_ONCE = RetryPolicy(attempts=2, first_wait=0.001, longest_wait=0.01, timeout=0.3)
BARS = sample_bars().filter(pl.col("session").is_between(date(2005, 2, 1), date(2005, 3, 31)))


@pytest.fixture(scope="module")
def running() -> Iterator[HttpStandIn]:
    with HttpStandIn(BARS) as stand_in:
        yield stand_in


@pytest.fixture
def vendor(running: HttpStandIn) -> HttpStandIn:
    running.script, running.always, running.style = {}, None, "json"
    running.asked.clear()
    running.queries.clear()
    return running


def source(
    url: str, columns: dict[str, str] | None = None, now: datetime | None = None, **options: Any
) -> HttpSource:
    made = HttpVendor(url, TIINGO if columns is None else columns, key=KEY, **options)
    at = now or datetime(2026, 1, 5, tzinfo=UTC)
    return HttpSource(made, retries=AT_ONCE, now=lambda: at)


def wanted(*tickers: str) -> pl.DataFrame:
    return BARS.filter(pl.col("ticker").is_in(tickers), pl.col("session").is_between(FIRST, LAST))


def test_json_records_become_bars_with_their_events(vendor: HttpStandIn):
    bars = source(vendor.url).fetch_bars(["IBM", "AAPL"], FIRST, LAST)
    assert bars.equals(wanted("AAPL", "IBM"))
    assert vendor.queries[0] == {"from": "2005-02-22", "to": "20050304", "token": KEY}
    assert bars.filter(pl.col("split_ratio") != 1).select("ticker", "session").rows() == [
        ("AAPL", date(2005, 2, 28))
    ]


def test_csv_becomes_bars_whose_events_are_not_known(vendor: HttpStandIn):
    vendor.style = "csv"
    bars = source(vendor.url, {}).fetch_bars(["AAPL"], FIRST, LAST)
    unknown = wanted("AAPL").with_columns(
        dividend=pl.lit(None, pl.Float64), split_ratio=pl.lit(None, pl.Float64)
    )
    assert bars.equals(unknown)
    none = source(vendor.url, {"dividend": "0", "split_ratio": "1"})
    assert none.fetch_bars(["IBM"], FIRST, LAST)["split_ratio"].unique().to_list() == [1.0]


def test_prices_in_todays_shares_are_turned_back(vendor: HttpStandIn):
    """The range ends before the split, which has to be asked for all the same."""
    ratio = (
        pl.when((pl.col("ticker") == "AAPL") & (pl.col("session") < date(2005, 2, 28)))
        .then(2.0)
        .otherwise(1.0)
    )
    vendor.bars = BARS.with_columns(
        pl.col("open", "high", "low", "close", "dividend") / ratio, pl.col("volume") * ratio
    )
    try:
        adjusted = source(vendor.url, split_adjusted=True)
        bars = adjusted.fetch_bars(["AAPL", "IBM"], FIRST, date(2005, 2, 25))
    finally:
        vendor.bars = BARS
    assert bars.equals(wanted("AAPL", "IBM").filter(pl.col("session") <= date(2005, 2, 25)))
    assert vendor.queries[0]["to"] == "20260104"  # the evening before in New York


def test_records_lie_where_the_settings_say(vendor: HttpStandIn):
    vendor.always = (
        200,
        {},
        '{"data": {"prices": [{"day": 20050222, "q": {"o": "1.0", "h": 2, "l": 0.5, "c": 1.5}}]}}',
    )
    columns = {"session": "day", "open": "q.o", "high": "q.h", "low": "q.l", "close": "q.c"}
    bars = source(vendor.url, columns, records="data.prices").fetch_bars(["X"], FIRST, LAST)
    assert bars.rows() == [("X", FIRST, 1.0, 2.0, 0.5, 1.5, None, None, None)]


def test_a_blank_event_is_none_and_a_blank_price_is_missing(vendor: HttpStandIn):
    vendor.always = (200, {}, "date;open;high;low;close;volume;divCash;splitFactor\n"
                              "2005-02-22;1;2;1;;5;;\n")  # fmt: skip
    bars = source(vendor.url).fetch_bars(["X"], FIRST, LAST)
    assert bars.rows() == [("X", FIRST, 1.0, 2.0, 1.0, None, 5.0, 0.0, 1.0)]


ROW = '{"date": "2005-02-22", "open": 1, "high": 1, "low": 1, "close": %s, "volume": 1}'


@pytest.mark.parametrize(
    ("met", "kind", "says"),
    [
        (401, AccessRefusedError, "does not let us in; check STOCK_ASSETS_HTTP_KEY"),
        (403, AccessRefusedError, "HTTP 403 for X"),
        (404, UnknownTickerError, "has no such ticker"),
        (400, SourceError, "refuses to answer"),
        (500, SourceUnreachableError, "did not serve us"),
        ((302, {"Location": f"http://127.0.0.1:1/{KEY}"}, ""), SourceError, "another address"),
        ("slow", SourceUnreachableError, r"can't be reached \(at X\): .*timed out"),
        ("trickle", SourceUnreachableError, r"can't be reached \(at X\): .*timed out"),
        ("cut", SourceUnreachableError, r"can't be reached \(at X\): "),
        ((200, {}, f"<html>{KEY}</html>"), SourceUnreachableError, "is a web page, not prices"),
        ((200, {}, '[{"date": "2005-'), SourceUnreachableError, "is cut off or no JSON"),
        ((200, {}, "Date,Open,Close\n2005-02-22,1"), SourceUnreachableError, "row 1 has 2 of 3"),
        ((200, {}, ""), EmptyAnswerError, "has no rows"),
        ((200, {}, "[]"), EmptyAnswerError, "has no rows"),
        ((200, {}, "Date,Open,High,Low,Close,Volume\n"), EmptyAnswerError, "has no rows"),
        ((200, {}, f"no quota for {KEY}"), UnexpectedShapeError, r"no table, but says 'no quota f"),
        ((200, {}, "Exceeded the daily hits limit"), RateLimitedError, "says 'Exceeded the daily"),
        ((200, {}, '{"error": "bad", "code": 7}'), UnexpectedShapeError, "object of error, code"),
        ((200, {}, "Date,Last\n2005-02-22,1"), UnexpectedShapeError, "open, high.*but Date, Last"),
        ((200, {}, f"[{ROW % 1},{ROW % 2}]"), UnexpectedShapeError, "has 2 rows of 2005-02-22"),
        ((200, {}, f"[{ROW % 'true'}]"), UnexpectedShapeError, "has True for close in row 1"),
        ((200, {}, f"[{ROW % 'NaN'}]"), UnexpectedShapeError, "has nan for close in row 1"),
        ((200, {}, "[%s]" % (ROW % f'"{KEY}"')), UnexpectedShapeError, r"'\*\*\*' for close"),
        ((200, {}, f"[{ROW % 1}]".replace("22", "22T16:00:00")), UnexpectedShapeError, "no date"),
        ((200, {}, f"[{ROW % 1}]".replace("2005", "2004")), EmptyAnswerError, "has no row in 2005"),
        ((200, {}, b"\xff\xfe".decode("latin-1")), UnexpectedShapeError, "is no table"),
    ],
)  # fmt: skip
def test_what_is_no_price_history_is_one_line_without_the_key(
    vendor: HttpStandIn,
    caplog: pytest.LogCaptureFixture,
    met: Any,
    kind: type[SourceError],
    says: str,
):
    caplog.set_level(logging.DEBUG)
    vendor.always = met
    columns = {}
    with pytest.raises(kind, match=says) as error:
        source(vendor.url, columns).fetch_bars(["X"], FIRST, LAST)
    assert type(error.value) is kind
    told = f"{error.getrepr(style='long', chain=True).reprcrash} {error.value} {caplog.text}"
    assert "\n" not in str(error.value)
    assert "127.0.0.1" in told
    for secret in (KEY, "s3cr3t", "token="):
        assert secret not in told


def test_refused_connections_and_a_key_in_the_url_are_told_without_it(
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    with HttpStandIn(BARS) as gone:
        url = gone.url.replace("{key}", "pasted-into-it")
    pasted = source(url)
    with pytest.raises(SourceUnreachableError, match=r"127\.0\.0\.1 can't be reached") as error:
        pasted.fetch_bars(["X"], FIRST, LAST)
    assert "try 1 of 2" in caplog.text
    vendor = HttpVendor(url, key=KEY)
    assert vendor.cleaned("who is pasted-into-it?") == "who is ***?"
    for text in (str(error.value), caplog.text, repr(vendor)):
        assert "pasted" not in text
        assert "s3cr3t" not in text


@pytest.mark.parametrize(("asks_for", "tries"), [("0", 2), ("3600", 1), ("soon", 2)])
def test_a_rate_limit_is_waited_for_only_if_it_is_short(
    vendor: HttpStandIn, asks_for: str, tries: int
):
    vendor.always = (429, {"Retry-After": asks_for}, "")
    with pytest.raises(RateLimitedError, match="limits the rate"):
        source(vendor.url).fetch_bars(["A", "B"], FIRST, LAST)
    assert vendor.asked == {"A": tries}


def test_a_wait_that_is_asked_for_as_a_date_is_heeded(vendor: HttpStandIn):
    vendor.script = {"IBM": [(429, {"Retry-After": "Mon, 05 Jan 2026 00:59:00 GMT"}, "")]}
    with pytest.raises(RateLimitedError):
        source(vendor.url).fetch_bars(["IBM"], FIRST, LAST)
    assert vendor.asked == {"IBM": 1}


def test_a_short_failure_costs_nothing(vendor: HttpStandIn):
    vendor.script = {"IBM": [500], "AAPL": ["cut"]}
    assert source(vendor.url).fetch_bars(["IBM", "AAPL"], FIRST, LAST).equals(wanted("AAPL", "IBM"))


def test_the_other_tickers_come_with_the_error(vendor: HttpStandIn):
    vendor.script = {"NONE": [404]}
    with pytest.raises(UnknownTickerError, match="1 of 2 tickers were fetched, 1 not: NONE") as e:
        source(vendor.url).fetch_bars(["NONE", "IBM"], FIRST, LAST)
    assert e.value.bars is not None
    assert e.value.bars.equals(wanted("IBM"))


def test_a_key_that_is_refused_is_not_tried_on_every_ticker(vendor: HttpStandIn):
    vendor.always = 401
    with pytest.raises(AccessRefusedError, match="0 of 6 tickers were fetched, 6 not"):
        source(vendor.url).fetch_bars(list("ABCDEF"), FIRST, LAST)
    assert sum(vendor.asked.values()) == 3


def test_a_session_is_not_taken_before_it_is_settled(vendor: HttpStandIn):
    # An hour after the close in New York, in winter, is 22:00 UTC.
    before = datetime(2005, 3, 4, 21, 59, tzinfo=UTC)
    bars = source(vendor.url, now=before).fetch_bars(["IBM"], FIRST, LAST)
    assert bars["session"].max() == date(2005, 3, 3)
    with pytest.raises(UnsettledSessionError):
        source(vendor.url, now=before).fetch_bars(["IBM"], LAST, LAST)
    assert vendor.asked == {"IBM": 1}


def test_a_ticker_is_part_of_the_address_and_of_nothing_else():
    made = HttpVendor("https://h/{ticker}?d={first:%Y%m%d}&k={key}", key="a&b")
    assert made.address("^BRK/B&k=1", FIRST, LAST) == (
        "https://h/%5EBRK%2FB%26k%3D1?d=20050222&k=a%26b"
    )
