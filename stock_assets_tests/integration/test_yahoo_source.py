"""The Yahoo source through the real yfinance, over real connections, against a stand-in for Yahoo.

Bars are those of AAPL around its 4-for-1 split of 2020-08-31, as traded; its dividend of 0.82 is
moved to the session before, so that the split comes between it and today.
"""

import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from time import monotonic

import polars as pl
import pytest

from stock_assets.errors import (
    EmptyAnswerError,
    PartialAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnexpectedShapeError,
    UnknownTickerError,
    UnsettledSessionError,
)
from stock_assets.market.bars import BAR_SCHEMA, quarantine_reason
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.asking import RetryPolicy, last_settled_day
from stock_assets.market.sources.yahoo import YahooSource
from stock_assets_tests.yahoo_stand_in import Bar, Fault, Listing, YahooStandIn, forget_yahoo

THURSDAY, FRIDAY = date(2020, 8, 27), date(2020, 8, 28)
MONDAY, TUESDAY, WEDNESDAY = date(2020, 8, 31), date(2020, 9, 1), date(2020, 9, 2)
TUESDAY_EVENING = datetime(2020, 9, 1, 22, 0, tzinfo=UTC)  # 18:00 in New York

AAPL_BARS = (
    Bar(THURSDAY, 508.57, 509.94, 495.33, 500.04, 38_888_096.0),
    Bar(FRIDAY, 504.05, 505.77, 498.31, 499.23, 46_907_479.0),
    Bar(MONDAY, 127.58, 131.00, 126.00, 129.04, 225_702_700.0),
    Bar(TUESDAY, 132.76, 134.80, 130.53, 134.18, 152_470_142.0),
)
AAPL = Listing(AAPL_BARS, splits={MONDAY: (4, 1)}, dividends={FRIDAY: 0.82})
# A try meets these twice: yfinance repeats a request that ends in a status of 400 or more.
BAD_STATUS = (Fault.RATE_LIMIT, Fault.SERVER_ERROR, Fault.BAD_GATEWAY, Fault.NOT_FOUND_PAGE)
FLAT = Listing([Bar(day, 50.0, 50.5, 49.5, 50.0) for day in (THURSDAY, FRIDAY, MONDAY, TUESDAY)])


@pytest.fixture
def yahoo() -> Iterator[YahooStandIn]:
    with YahooStandIn({"AAPL": AAPL}, TUESDAY) as stand_in:
        forget_yahoo()
        yield stand_in
        forget_yahoo()


def source_of(yahoo: YahooStandIn, now: datetime = TUESDAY_EVENING, **options) -> YahooSource:
    retries = RetryPolicy(attempts=3, first_wait=0.001, longest_wait=0.002, timeout=0.4)
    return YahooSource(yahoo.session(), now=lambda: now, **{"retries": retries, **options})


def column(bars: pl.DataFrame, name: str) -> dict[date, float | None]:
    return dict(bars.select("session", name).iter_rows())


def approx(values: dict[date, float]) -> object:
    return pytest.approx(values, rel=1e-12)


# --- bars as traded -------------------------------------------------------------------------------


def test_bars_come_back_as_traded(yahoo):
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert bars.schema == BAR_SCHEMA
    assert bars["ticker"].unique().to_list() == ["AAPL"]
    assert column(bars, "open") == approx(
        {THURSDAY: 508.57, FRIDAY: 504.05, MONDAY: 127.58, TUESDAY: 132.76}
    )
    assert column(bars, "close") == approx(
        {THURSDAY: 500.04, FRIDAY: 499.23, MONDAY: 129.04, TUESDAY: 134.18}
    )
    assert column(bars, "volume") == approx(
        {THURSDAY: 38_888_096, FRIDAY: 46_907_479, MONDAY: 225_702_700, TUESDAY: 152_470_142}
    )
    assert column(bars, "split_ratio") == {THURSDAY: 1.0, FRIDAY: 1.0, MONDAY: 4.0, TUESDAY: 1.0}


def test_a_dividend_before_a_split_is_what_was_paid_then(yahoo):
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert column(bars, "dividend") == approx(
        {THURSDAY: 0.0, FRIDAY: 0.82, MONDAY: 0.0, TUESDAY: 0.0}
    )


def test_a_split_after_the_range_is_undone_in_it(yahoo):
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, FRIDAY)
    assert column(bars, "close") == approx({THURSDAY: 500.04, FRIDAY: 499.23})


def test_a_split_between_two_fetches_changes_no_bar(yahoo):
    friday_evening = datetime(2020, 8, 28, 22, 0, tzinfo=UTC)
    yahoo.today = FRIDAY
    before = source_of(yahoo, friday_evening).fetch_bars(["AAPL"], THURSDAY, FRIDAY)
    yahoo.today = MONDAY
    monday_evening = friday_evening + timedelta(days=3)
    after = source_of(yahoo, monday_evening).fetch_bars(["AAPL"], THURSDAY, FRIDAY)
    assert column(before, "close") == approx({THURSDAY: 500.04, FRIDAY: 499.23})
    assert column(after, "close") == approx({THURSDAY: 500.04, FRIDAY: 499.23})
    assert column(after, "volume") == approx({THURSDAY: 38_888_096, FRIDAY: 46_907_479})
    assert column(after, "dividend") == approx({THURSDAY: 0.0, FRIDAY: 0.82})


def test_a_split_of_the_session_that_goes_on_is_undone(yahoo):
    yahoo.today, yahoo.is_open = MONDAY, True
    monday_noon = datetime(2020, 8, 31, 16, 0, tzinfo=UTC)
    bars = source_of(yahoo, monday_noon).fetch_bars(["AAPL"], THURSDAY, MONDAY)
    assert column(bars, "close") == approx({THURSDAY: 500.04, FRIDAY: 499.23})


def test_a_split_of_a_session_that_has_no_bar_yet_is_undone(yahoo):
    yahoo.listings["AAPL"] = Listing(AAPL_BARS[:2], splits={MONDAY: (4, 1)})
    yahoo.today = MONDAY
    monday_morning = datetime(2020, 8, 31, 13, 0, tzinfo=UTC)
    bars = source_of(yahoo, monday_morning).fetch_bars(["AAPL"], THURSDAY, MONDAY)
    assert column(bars, "close") == approx({THURSDAY: 500.04, FRIDAY: 499.23})


def test_events_of_a_session_without_a_bar_belong_to_the_next_bar(yahoo):
    halted_on_monday = [bar for bar in AAPL_BARS if bar.session != MONDAY]
    yahoo.listings["AAPL"] = Listing(
        halted_on_monday, splits={MONDAY: (4, 1)}, dividends={MONDAY: 0.2}
    )
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert column(bars, "close") == approx({THURSDAY: 500.04, FRIDAY: 499.23, TUESDAY: 134.18})
    assert column(bars, "split_ratio") == {THURSDAY: 1.0, FRIDAY: 1.0, TUESDAY: 4.0}
    assert column(bars, "dividend") == approx({THURSDAY: 0.0, FRIDAY: 0.0, TUESDAY: 0.2})


def test_a_range_that_starts_after_the_event_of_a_missing_bar_has_it_too(yahoo):
    halted_on_monday = [bar for bar in AAPL_BARS if bar.session != MONDAY]
    yahoo.listings["AAPL"] = Listing(halted_on_monday, splits={MONDAY: (4, 1)})
    bars = source_of(yahoo).fetch_bars(["AAPL"], TUESDAY, TUESDAY)
    assert column(bars, "split_ratio") == {TUESDAY: 4.0}


def test_a_reverse_split_is_undone(yahoo):
    yahoo.listings["GE"] = Listing(
        [Bar(FRIDAY, 12.9, 13.0, 12.8, 12.95, 60e6), Bar(MONDAY, 103.0, 104.9, 102.0, 103.6, 7e6)],
        splits={MONDAY: (1, 8)},
    )
    bars = source_of(yahoo).fetch_bars(["GE"], FRIDAY, MONDAY)
    assert column(bars, "close") == approx({FRIDAY: 12.95, MONDAY: 103.6})
    assert column(bars, "volume") == approx({FRIDAY: 60e6, MONDAY: 7e6})
    assert column(bars, "split_ratio") == {FRIDAY: 1.0, MONDAY: 0.125}


def test_class_shares_and_indices_are_found_under_their_symbols(yahoo):
    yahoo.listings["BRK-B"] = Listing([Bar(FRIDAY, 217.1, 218.0, 215.3, 217.58, 4_316_600.0)])
    yahoo.listings["^GSPC"] = Listing(
        [Bar(FRIDAY, 3494.69, 3509.23, 3484.32, 3508.01, None)], instrument="INDEX"
    )
    bars = source_of(yahoo).fetch_bars(["^GSPC", "BRK-B"], FRIDAY, FRIDAY)
    assert bars.select("ticker", "close", "volume").rows() == [
        ("BRK-B", 217.58, 4_316_600.0),
        ("^GSPC", 3508.01, 0.0),
    ]
    assert bars.select(quarantine_reason()).to_series().to_list() == [None, None]


def test_a_ticker_listed_after_the_range_has_no_rows_and_is_no_error(yahoo):
    yahoo.listings["NEW"] = Listing([Bar(TUESDAY, 20.0, 21.0, 19.0, 20.5)])
    bars = source_of(yahoo).fetch_bars(["AAPL", "NEW"], THURSDAY, FRIDAY)
    assert bars.select("ticker", "session").rows() == [("AAPL", THURSDAY), ("AAPL", FRIDAY)]


def test_a_ticker_named_twice_is_fetched_once(yahoo):
    bars = source_of(yahoo).fetch_bars(["AAPL", "AAPL"], FRIDAY, FRIDAY)
    assert bars.height == 1
    assert yahoo.asked("chart") == 1


def test_a_good_batch_costs_one_request_per_ticker_a_cookie_and_a_crumb(yahoo):
    yahoo.listings |= {f"T{n}": FLAT for n in range(10)}
    source_of(yahoo).fetch_bars([f"T{n}" for n in range(10)], THURSDAY, TUESDAY)
    assert yahoo.asked("chart") == 10
    assert yahoo.requests.total() == 12


def test_progress_is_told_after_each_ticker(yahoo):
    yahoo.listings["MSFT"] = FLAT
    told: list[tuple[int, int, str]] = []
    source = source_of(yahoo, progress=lambda *steps: told.append(steps))
    with pytest.raises(UnknownTickerError):
        source.fetch_bars(["MSFT", "NOPE", "AAPL"], FRIDAY, FRIDAY)
    assert told == [(1, 3, "MSFT"), (2, 3, "NOPE"), (3, 3, "AAPL")]


# --- missing values -------------------------------------------------------------------------------


def test_a_bar_without_a_close_is_kept_null_and_seen(yahoo):
    yahoo.listings["AAPL"] = Listing(
        [
            AAPL_BARS[0],
            Bar(FRIDAY, None, None, None, None, None),
            Bar(MONDAY, None, None, None, None, None),
            AAPL_BARS[3],
        ],
        splits={MONDAY: (4, 1)},
    )
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert bars.select("session", "close", "split_ratio").rows() == [
        (THURSDAY, 500.04, 1.0),
        (FRIDAY, None, 1.0),
        (MONDAY, None, 4.0),
        (TUESDAY, 134.18, 1.0),
    ]
    reasons = bars.select("session", quarantine_reason()).drop_nulls().rows()
    assert reasons == [
        (FRIDAY, "a price, dividend or split ratio is missing or not finite"),
        (MONDAY, "a price, dividend or split ratio is missing or not finite"),
    ]


def test_a_bar_with_one_price_missing_is_kept_null_there_and_seen(yahoo):
    friday_without_open = Bar(FRIDAY, None, 505.77, 498.31, 499.23)
    yahoo.listings["AAPL"] = Listing([AAPL_BARS[0], friday_without_open])
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, FRIDAY)
    assert bars.filter(session=FRIDAY).select("open", "close").row(0) == (None, 499.23)
    assert bars.select("session", quarantine_reason()).drop_nulls()["session"].to_list() == [FRIDAY]


def test_an_answer_without_any_close_is_kept_null_and_seen(yahoo):
    yahoo.script("AAPL", Fault.NULL_CLOSES)
    bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, FRIDAY)
    assert bars["close"].to_list() == [None, None]
    assert bars.select(quarantine_reason()).to_series().null_count() == 0


# --- sessions that are not settled ----------------------------------------------------------------


def test_the_bar_of_a_session_that_goes_on_is_not_taken(yahoo):
    yahoo.is_open = True
    tuesday_noon = datetime(2020, 9, 1, 16, 0, tzinfo=UTC)
    bars = source_of(yahoo, tuesday_noon).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert bars["session"].to_list() == [THURSDAY, FRIDAY, MONDAY]


@pytest.mark.parametrize(
    ("now", "settle_minutes", "newest"),
    [
        (datetime(2020, 9, 1, 20, 59, 59, tzinfo=UTC), 60, MONDAY),
        (datetime(2020, 9, 1, 21, 0, tzinfo=UTC), 60, TUESDAY),
        (datetime(2020, 9, 1, 20, 0, tzinfo=UTC), 0, TUESDAY),
        (datetime(2020, 9, 2, 3, 59, tzinfo=UTC), 480, MONDAY),
        (datetime(2020, 9, 2, 4, 0, tzinfo=UTC), 480, TUESDAY),
    ],
)
def test_a_session_is_taken_from_the_minute_that_it_is_settled(yahoo, now, settle_minutes, newest):
    source = source_of(yahoo, now, settle_minutes=settle_minutes)
    assert source.fetch_bars(["AAPL"], THURSDAY, TUESDAY)["session"].max() == newest


@pytest.mark.parametrize(
    ("exchange", "now", "day"),
    [
        ("XNYS", datetime(2020, 12, 1, 21, 59, tzinfo=UTC), date(2020, 11, 30)),  # winter time
        ("XNYS", datetime(2020, 12, 1, 22, 0, tzinfo=UTC), date(2020, 12, 1)),
        ("XTKS", datetime(2020, 8, 31, 20, 0, tzinfo=UTC), date(2020, 8, 31)),  # 05:00 on Tuesday
        ("XLON", datetime(2020, 8, 28, 16, 29, tzinfo=UTC), date(2020, 8, 27)),
        ("XLON", datetime(2020, 8, 28, 16, 30, tzinfo=UTC), date(2020, 8, 28)),
    ],
)
def test_the_close_is_that_of_the_exchange_in_its_own_zone(exchange, now, day):
    assert last_settled_day(load_calendar(exchange), now, 60) == day


def test_a_range_that_is_not_settled_is_not_asked_for(yahoo):
    with pytest.raises(UnsettledSessionError, match=r"2020-09-02 17:00 America/New_York"):
        source_of(yahoo).fetch_bars(["AAPL"], WEDNESDAY, WEDNESDAY)
    assert yahoo.requests.total() == 0


def test_a_weekend_before_a_session_that_is_not_settled_settles_nothing(yahoo):
    monday_noon = datetime(2020, 8, 31, 16, 0, tzinfo=UTC)
    saturday = date(2020, 8, 29)
    with pytest.raises(UnsettledSessionError, match=r"bars of 2020-08-31 .* 2020-08-31 17:00"):
        source_of(yahoo, monday_noon).fetch_bars(["AAPL"], saturday, MONDAY)
    assert yahoo.requests.total() == 0
    evening = datetime(2020, 8, 31, 22, 0, tzinfo=UTC)
    bars = source_of(yahoo, evening).fetch_bars(["AAPL"], saturday, MONDAY)
    assert bars["session"].to_list() == [MONDAY]


# --- faults that stay -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        (Fault.RATE_LIMIT, RateLimitedError, "wait some minutes"),
        (Fault.SERVER_ERROR, SourceUnreachableError, "HTTP 500"),
        (Fault.BAD_GATEWAY, SourceUnreachableError, "HTTP 502"),
        (Fault.FORBIDDEN, SourceUnreachableError, "HTTP 403"),
        (Fault.DOWN_PAGE, SourceUnreachableError, "did not serve"),
        (Fault.SLOW, SourceUnreachableError, "timed out"),
        (Fault.CUT, SourceUnreachableError, "Empty reply"),
        (Fault.CUT_MIDWAY, SourceUnreachableError, "bytes missing"),
        (Fault.NO_RESULT, EmptyAnswerError, "first session"),
        (Fault.NO_BARS, EmptyAnswerError, "first session"),
        (Fault.NO_QUOTES, UnexpectedShapeError, "indicators"),
        (Fault.NO_VALUE_OF_LAST, UnexpectedShapeError, "same length"),
        (Fault.NOT_A_CHART, UnexpectedShapeError, "finance"),
        (Fault.HTML, UnexpectedShapeError, "Sign in to the network"),
        (Fault.NOT_FOUND_PAGE, UnexpectedShapeError, "HTTP 404"),
    ],
)
def test_a_fault_that_stays_ends_in_its_own_error(yahoo, fault, kind, words):
    yahoo.script("AAPL", *[fault] * 6)
    with pytest.raises(SourceError, match=words) as caught:
        source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert type(caught.value) is kind
    assert "AAPL" in str(caught.value)
    assert "delisted" not in str(caught.value)
    assert caught.value.bars.rows() == []


def test_only_yahoo_itself_makes_a_ticker_unknown(yahoo):
    with pytest.raises(UnknownTickerError, match=r"no ticker NOPE .*check its spelling"):
        source_of(yahoo).fetch_bars(["NOPE"], THURSDAY, TUESDAY)
    assert yahoo.asked("chart", "NOPE") == 2  # one try: yfinance repeats any 404 with a new crumb
    assert yahoo.asked("other") == 0


def test_no_bars_since_the_first_session_is_an_empty_answer(yahoo):
    yahoo.listings["OLD"] = Listing([Bar(date(2019, 1, 2), 9.0, 9.5, 8.5, 9.0)])
    with pytest.raises(EmptyAnswerError, match=r"OLD .*Data doesn't exist"):
        source_of(yahoo).fetch_bars(["OLD"], THURSDAY, TUESDAY)


def test_a_refused_connection_says_nothing_about_the_ticker(yahoo):
    yahoo.stop()
    with pytest.raises(SourceUnreachableError, match="Could not connect"):
        source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)


# --- faults that pass -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.RATE_LIMIT,
        Fault.SERVER_ERROR,
        Fault.BAD_GATEWAY,
        Fault.NOT_FOUND_PAGE,
        Fault.SLOW,
        Fault.CUT,
        Fault.CUT_MIDWAY,
        Fault.HTML,
        Fault.DOWN_PAGE,
        Fault.NO_QUOTES,
        Fault.NO_VALUE_OF_LAST,
    ],
)
def test_a_fault_that_passes_costs_a_try_and_no_bar(yahoo, fault, caplog):
    yahoo.script("AAPL", *[fault] * (4 if fault in BAD_STATUS else 2))
    with caplog.at_level(logging.WARNING, logger="stock_assets"):
        bars = source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert bars["close"].to_list() == pytest.approx([500.04, 499.23, 129.04, 134.18])
    ours = [r.getMessage()[:18] for r in caplog.records if r.name.startswith("stock_assets")]
    assert ours == ["AAPL: try 1 of 3, ", "AAPL: try 2 of 3, "]


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.NO_RESULT, Fault.HTML])
def test_a_failure_is_not_remembered(yahoo, fault):
    source = source_of(yahoo, retries=RetryPolicy(attempts=1, timeout=0.4))
    yahoo.script("AAPL", *[fault] * (2 if fault in BAD_STATUS else 1))
    with pytest.raises(SourceError):
        source.fetch_bars(["AAPL"], THURSDAY, TUESDAY)
    assert source.fetch_bars(["AAPL"], THURSDAY, TUESDAY).height == 4


@pytest.mark.parametrize("fault", [Fault.RATE_LIMIT, Fault.BAD_GATEWAY, Fault.SLOW])
def test_bars_come_without_a_crumb(yahoo, fault):
    yahoo.crumb_fault = fault
    start = monotonic()
    assert source_of(yahoo).fetch_bars(["AAPL"], THURSDAY, TUESDAY).height == 4
    assert monotonic() - start < 5


# --- batches: what one failure may cost -----------------------------------------------------------


def test_a_rate_limit_is_not_a_delisting_and_costs_few_requests(yahoo):
    tickers = [f"T{n:02}" for n in range(50)]
    yahoo.listings |= dict.fromkeys(tickers, FLAT)
    yahoo.script("T02", *[Fault.RATE_LIMIT] * 100)
    with pytest.raises(RateLimitedError, match="2 of 50 tickers were fetched, 48 not") as caught:
        source_of(yahoo).fetch_bars(tickers, THURSDAY, TUESDAY)
    assert caught.value.bars["ticker"].unique().sort().to_list() == ["T00", "T01"]
    assert caught.value.bars.height == 8
    # Three tries of two charts each, and a crumb whenever yfinance changes its way to get cookies.
    assert yahoo.asked("chart", "T02") == 6
    assert yahoo.asked("chart") == 8
    assert yahoo.requests.total() <= 15


def test_one_unknown_ticker_does_not_lose_the_others(yahoo):
    yahoo.listings["MSFT"] = FLAT
    with pytest.raises(UnknownTickerError, match="2 of 3 tickers were fetched, 1 not: NOPE") as at:
        source_of(yahoo).fetch_bars(["AAPL", "NOPE", "MSFT"], FRIDAY, MONDAY)
    assert at.value.bars.schema == BAR_SCHEMA
    assert at.value.bars.select("ticker", "session").rows() == [
        ("AAPL", FRIDAY),
        ("AAPL", MONDAY),
        ("MSFT", FRIDAY),
        ("MSFT", MONDAY),
    ]


@pytest.mark.parametrize("fault", [Fault.SERVER_ERROR, Fault.NO_RESULT, Fault.HTML])
def test_one_ticker_without_an_answer_makes_the_batch_partial(yahoo, fault):
    yahoo.listings["MSFT"] = FLAT
    yahoo.script("AAPL", *[fault] * 6)
    with pytest.raises(PartialAnswerError, match="1 of 2 tickers were fetched, 1 not: AAPL") as at:
        source_of(yahoo).fetch_bars(["AAPL", "MSFT"], FRIDAY, FRIDAY)
    assert at.value.bars["ticker"].to_list() == ["MSFT"]


def test_failures_of_two_kinds_make_the_batch_partial(yahoo):
    yahoo.listings["MSFT"] = FLAT
    yahoo.script("MSFT", *[Fault.HTML] * 6)
    with pytest.raises(PartialAnswerError, match="1 of 3 tickers were fetched, 2 not: NOPE, MSFT"):
        source_of(yahoo).fetch_bars(["NOPE", "MSFT", "AAPL"], FRIDAY, FRIDAY)


def test_three_unreachable_in_a_row_end_the_batch(yahoo):
    tickers = [f"T{n}" for n in range(8)]
    yahoo.listings |= dict.fromkeys(tickers, FLAT)
    for ticker in ("T1", "T3", "T4", "T5"):
        yahoo.script(ticker, *[Fault.CUT] * 3)
    with pytest.raises(SourceUnreachableError, match="2 of 8 tickers were fetched, 6 not") as at:
        source_of(yahoo).fetch_bars(tickers, FRIDAY, FRIDAY)
    assert at.value.bars["ticker"].to_list() == ["T0", "T2"]
    assert yahoo.asked("chart", "T5") == 3
    assert yahoo.asked("chart", "T6") == yahoo.asked("chart", "T7") == 0


# --- what the process keeps -----------------------------------------------------------------------


def test_caches_are_the_processs_own(yahoo):
    from yfinance.cache import _CookieDBManager, _TzDBManager

    source_of(yahoo).fetch_bars(["AAPL"], FRIDAY, FRIDAY)
    source_of(yahoo).fetch_bars(["AAPL"], FRIDAY, FRIDAY)
    folder = Path(_TzDBManager.get_location())
    assert folder.parent == Path(tempfile.gettempdir())
    assert sorted(file.name for file in folder.glob("*.db")) == ["cookies.db", "tkr-tz.db"]
    assert Path(_CookieDBManager.get_location()) == folder


def test_the_module_imports_without_yfinance_and_pandas():
    code = (
        "import sys, stock_assets.market.sources.yahoo;"
        "print([m for m in ('yfinance', 'pandas', 'curl_cffi', 'tenacity') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
