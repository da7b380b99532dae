"""Yahoo Finance through yfinance, turned back into bars as traded.

Yahoo's prices, volumes and dividends are in today's shares: every split since has been applied. As
traded = price * product of the later split ratios, so the events are asked for up to today,
whichever sessions are wanted.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources.asking import RetryPolicy, as_traded, fetch_each, settled_end
from stock_assets.market.sources.yahoo_client import YahooClient

TICKERS = ("AAPL", "GOOGL", "MSFT", "NVDA", "AMZN", "META")
FIRST_SESSION = date(2015, 1, 2)


class YahooSource:
    """`PriceSource` over Yahoo's chart API.

    Takes stocks, class shares (BRK-B) and indices (^GSPC) that close when the calendar's exchange
    does; what trades on after that (currencies, crypto) would be taken before its day is over.

    Args:
        session: An HTTP session for yfinance; None takes the process's own.
        calendar: The exchange, for its zone and close; None is XNYS.
        now: The clock, with a time zone.
        settle_minutes: A session's bars are taken this long after its close, not before.
        retries: How often and how patiently each ticker is asked for.
        progress: Called after each ticker with how many are done, of how many, and its name.
    """

    name = "yahoo"

    def __init__(
        self,
        session: Any = None,
        *,
        calendar: ExchangeCalendar | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        settle_minutes: int = 60,
        retries: RetryPolicy | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self._calendar = calendar or load_calendar("XNYS")
        self._now = now
        self._settle_minutes = settle_minutes
        self._progress = progress
        self._client = YahooClient(session, retries or RetryPolicy(), self._calendar.time_zone)

    def default_tickers(self) -> tuple[str, ...]:
        return TICKERS

    def first_session(self) -> date:
        return FIRST_SESSION

    def last_session(self) -> date | None:
        return None

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        """Bars as traded, from `first` to `last` inclusive, of the sessions that are settled.

        Every ticker is asked for, also after one that failed, until Yahoo limits the rate or can't
        be reached for several in a row: then the rest is left. A failure of any of them is raised
        when that is done, and the error's `bars` hold those of all tickers that could be fetched.

        Nothing leaves here before the last ticker has answered: who ends the process meanwhile
        loses the whole call, though nothing that was stored. A long history is therefore fetched
        by ranges of sessions (`sessions_per_run`), at one request per ticker and range.

        Returns:
            Rows of BAR_SCHEMA sorted by ticker and session. A price that Yahoo left out of a bar is
            null; a volume that it left out is 0.

        Raises:
            UnsettledSessionError: No session in the range is settled; nothing was asked.
            RateLimitedError: Yahoo refuses requests; the tickers after this one were not asked for.
            SourceUnreachableError: No ticker could be fetched, or several in a row could not.
            UnknownTickerError: Yahoo says that it has no such ticker, and every other was fetched.
            PartialAnswerError: Some were fetched and some not, for any other reason.
            EmptyAnswerError, UnexpectedShapeError: No ticker could be fetched, for this reason.
        """
        now = self._now()
        last = settled_end(self._calendar, now, self._settle_minutes, first, last)
        today = now.astimezone(ZoneInfo(self._calendar.time_zone)).date()
        return fetch_each(
            tickers,
            lambda ticker: self._fetch_ticker(ticker, first, last, today),
            self._progress,
        )

    def _fetch_ticker(self, ticker: str, first: date, last: date, today: date) -> pl.DataFrame:
        """One ticker's bars in BAR_SCHEMA; its events are asked for up to `today`."""
        return (
            as_traded(self._client.fetch_history(ticker, first, today))
            .filter(pl.col("session").is_between(first, last))
            .with_columns(ticker=pl.lit(ticker))
            .select(pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items())
        )
