"""Yahoo Finance through yfinance, turned back into bars as traded.

Yahoo's prices, volumes and dividends are in today's shares: every split since has been applied. As
traded = price * product of the later split ratios, so the events are asked for up to today,
whichever sessions are wanted.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from stock_assets.errors import (
    PartialAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnknownTickerError,
    UnsettledSessionError,
)
from stock_assets.market.bars import BAR_SCHEMA, PRICES, empty_bars
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources.yahoo_client import RetryPolicy, YahooClient

TICKERS = ("AAPL", "GOOGL", "MSFT", "NVDA", "AMZN", "META")
FIRST_SESSION = date(2015, 1, 2)

# One ticker may have trouble of its own; several in a row are Yahoo's trouble, or the network's.
_UNREACHABLE_IN_A_ROW = 3
_NAMED = 5


def as_traded(history: pl.DataFrame) -> pl.DataFrame:
    """Undoes the split adjustment of one ticker's Yahoo history.

    Args:
        history: `session, open, high, low, close, volume, dividend, split_ratio`, ascending, up to
            the newest session there is; split ratio 0 or 1 where there was none.

    Returns:
        The same columns as traded. Null prices stay null.
    """
    ratio = pl.when(pl.col("split_ratio") > 0).then(pl.col("split_ratio")).otherwise(1.0)
    later = ratio.shift(-1, fill_value=1.0).cum_prod(reverse=True)
    return history.with_columns(
        pl.col(*PRICES, "dividend") * later, pl.col("volume") / later, split_ratio=ratio
    )


def last_settled_day(calendar: ExchangeCalendar, now: datetime, settle_minutes: int) -> date:
    """The newest date whose bars are final: its close is at least `settle_minutes` ago.

    Args:
        calendar: Whose close counts. It knows no early closes: such a session settles later here.
        now: With a time zone.
        settle_minutes: After the close, the exchange corrects and Yahoo catches up.
    """
    moment = (now - timedelta(minutes=settle_minutes)).astimezone(ZoneInfo(calendar.time_zone))
    is_over = moment.time() >= time.fromisoformat(calendar.close)
    return moment.date() if is_over else moment.date() - timedelta(days=1)


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
        settled = last_settled_day(self._calendar, now, self._settle_minutes)
        # A range may begin on the days without trading before its first session.
        opening = next(iter(self._calendar.between(first, last)), first)
        if opening > settled:
            close = datetime.combine(opening, time.fromisoformat(self._calendar.close))
            settles = close + timedelta(minutes=self._settle_minutes)
            raise UnsettledSessionError(
                f"bars of {opening} are not settled before {settles:%Y-%m-%d %H:%M}"
                f" {self._calendar.time_zone}; ask again then, or for earlier sessions"
            )
        today = now.astimezone(ZoneInfo(self._calendar.time_zone)).date()
        last = min(last, settled)
        wanted = tuple(dict.fromkeys(tickers))
        fetched: dict[str, pl.DataFrame] = {}
        failed: dict[str, SourceError] = {}
        for number, ticker in enumerate(wanted, 1):
            try:
                fetched[ticker] = self._fetch_ticker(ticker, first, last, today)
            except SourceError as error:
                failed[ticker] = error
            if self._progress:
                self._progress(number, len(wanted), ticker)
            if _is_hopeless([failed.get(ticker) for ticker in wanted[:number]]):
                break
        bars = pl.concat([empty_bars(), *fetched.values()]).sort("ticker", "session")
        if failed:
            newest = [*failed.values()][-1]
            raise _joint_error(wanted, [*fetched], failed, bars) from newest
        return bars

    def _fetch_ticker(self, ticker: str, first: date, last: date, today: date) -> pl.DataFrame:
        """One ticker's bars in BAR_SCHEMA; its events are asked for up to `today`."""
        return (
            as_traded(self._client.fetch_history(ticker, first, today))
            .filter(pl.col("session").is_between(first, last))
            .with_columns(ticker=pl.lit(ticker))
            .select(pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items())
        )


def _is_hopeless(outcomes: Sequence[SourceError | None]) -> bool:
    """Whether to leave the rest of the tickers alone: the circuit breaker of one batch.

    Args:
        outcomes: Per ticker that was asked for, in that order; None is a success.
    """
    if isinstance(outcomes[-1], RateLimitedError):
        return True
    newest = outcomes[-_UNREACHABLE_IN_A_ROW:]
    return len(newest) == _UNREACHABLE_IN_A_ROW and all(
        isinstance(outcome, SourceUnreachableError) for outcome in newest
    )


def _joint_error(
    wanted: Sequence[str],
    fetched: Sequence[str],
    failed: dict[str, SourceError],
    bars: pl.DataFrame,
) -> SourceError:
    """One error for all tickers that are missing; its kind says what to do about them."""
    newest = [*failed.values()][-1]
    if len(wanted) == 1:
        return type(newest)(str(newest), bars)
    missing = [ticker for ticker in wanted if ticker not in fetched]
    named = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
    kinds = {type(error) for error in failed.values()}
    was_stopped = len(missing) > len(failed) or isinstance(newest, RateLimitedError)
    speaks_for_all = kinds == {UnknownTickerError} or (len(kinds) == 1 and not fetched)
    kind = type(newest) if was_stopped or speaks_for_all else PartialAnswerError
    return kind(
        f"{newest}; {len(fetched)} of {len(wanted)} tickers were fetched, {len(missing)} not:"
        f" {named}",
        bars,
    )
