"""Prices of a vendor that answers with CSV or JSON, one ticker a request.

The deployment says how its URL and columns are called, so most vendors need no code. The key goes
into the request and nowhere else: no message holds an address, and what an answer says is shown
without the key.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit
from zoneinfo import ZoneInfo

import polars as pl

from stock_assets.errors import (
    AccessRefusedError,
    EmptyAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnknownTickerError,
)
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources.asking import (
    RetryPolicy,
    as_traded,
    fetch_each,
    retrying,
    settled_end,
)
from stock_assets.market.sources.http_answers import history_rows

FIRST_SESSION = date(2015, 1, 2)
_WORTH_ANOTHER_TRY = (RateLimitedError, SourceUnreachableError)
_HIDDEN = "***"
_SHORTEST_SECRET = 8
"""Letters of a value in the URL that may be a key which somebody wrote there."""


@dataclass(frozen=True)
class HttpVendor:
    """How to ask a vendor, and how to read it.

    Args:
        url: Template with {ticker}, {first}, {last}, {key}; dates take a format, {first:%Y%m%d}.
        columns, records: As of `history_rows`.
        split_adjusted: Whether its prices, volumes and dividends are in today's shares.
        key: What {key} stands for.
    """

    url: str = field(repr=False)
    columns: Mapping[str, str] = field(default_factory=dict)
    records: str = ""
    split_adjusted: bool = False
    key: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    def address(self, ticker: str, first: date, last: date) -> str:
        return self.url.format(
            ticker=quote(ticker, safe=""), first=first, last=last, key=quote(self.key, safe="")
        )

    @cached_property
    def _secrets(self) -> re.Pattern[str]:
        parts = urlsplit(self.url)
        given = [value for _, value in parse_qsl(parts.query) if "{" not in value]
        secrets = [
            self.key,
            unquote(parts.password or ""),
            *(value for value in given if len(value) >= _SHORTEST_SECRET),
        ]
        spelt = {
            form for one in secrets if one for form in (one, quote(one, safe=""), quote_plus(one))
        }
        return re.compile("|".join(map(re.escape, sorted(spelt, key=len, reverse=True))) or "(?!)")

    def cleaned(self, text: object) -> str:
        """One line that holds no secret, nor what moves a terminal's cursor."""
        line = " ".join(self._secrets.sub(_HIDDEN, str(text)).split())
        return "".join(letter for letter in line if letter.isprintable())[:240]


class HttpSource:
    """`PriceSource` over an `HttpVendor`.

    Args:
        vendor: Whom to ask.
        calendar: The exchange, for its zone and close; None is XNYS.
        now: The clock, with a time zone.
        settle_minutes: A session's bars are taken this long after its close, not before.
        retries: How often and how patiently each ticker is asked for.

    `dividend` and `split_ratio` are null where the vendor has no such column.
    """

    name = "http"

    def __init__(
        self,
        vendor: HttpVendor,
        *,
        calendar: ExchangeCalendar | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        settle_minutes: int = 60,
        retries: RetryPolicy | None = None,
    ) -> None:
        self._vendor = vendor
        self._calendar = calendar or load_calendar("XNYS")
        self._now = now
        self._settle_minutes = settle_minutes
        self._retries = retries or RetryPolicy()

    def default_tickers(self) -> tuple[str, ...]:
        return ()

    def first_session(self) -> date:
        return FIRST_SESSION

    def last_session(self) -> date | None:
        return None

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        """Bars as traded, from `first` to `last` inclusive, of the sessions that are settled.

        Raises:
            UnsettledSessionError: No session in the range is settled; nothing was asked.
            RateLimitedError: The vendor refuses requests; the tickers after it were not asked for.
            AccessRefusedError: It does not take the key.
            SourceUnreachableError: It did not answer, or something else did.
            UnknownTickerError, EmptyAnswerError, UnexpectedShapeError, PartialAnswerError: As of
                `fetch_each`.
        """
        from curl_cffi import requests

        now = self._now()
        last = settled_end(self._calendar, now, self._settle_minutes, first, last)
        today = now.astimezone(ZoneInfo(self._calendar.time_zone)).date()
        # Splits after the range are in the prices of the range.
        until = today if self._vendor.split_adjusted else last
        with requests.Session() as session:
            return fetch_each(
                tickers, lambda ticker: self._fetch_ticker(session, ticker, first, last, until)
            )

    def _fetch_ticker(
        self, session: Any, ticker: str, first: date, last: date, until: date
    ) -> pl.DataFrame:
        again = retrying(ticker, self._retries, _WORTH_ANOTHER_TRY)
        rows = again(self._try_once, session, ticker, first, until)
        traded = as_traded(rows) if self._vendor.split_adjusted else rows
        bars = traded.filter(pl.col("session").is_between(first, last))
        if bars.is_empty():
            raise self._said(EmptyAnswerError, ticker, f"has no row in {first}..{last}")
        return bars.with_columns(ticker=pl.lit(ticker)).select(
            pl.col(name).cast(dtype) for name, dtype in BAR_SCHEMA.items()
        )

    def _try_once(self, session: Any, ticker: str, first: date, until: date) -> pl.DataFrame:
        """ANSWER_SCHEMA. What is raised names no cause: its text may hold the address."""
        try:
            # Of another address, the key would reach another host.
            answer = session.get(
                self._vendor.address(ticker, first, until),
                timeout=self._retries.timeout,
                allow_redirects=False,
            )
        except OSError as error:  # curl_cffi's network errors are OSErrors
            why = str(error).partition(". See http")[0]  # curl's reading list
            raise SourceUnreachableError(
                f"{self._vendor.host} can't be reached (at {ticker}): {self._vendor.cleaned(why)};"
                " try again"
            ) from None
        if refusal := self._refusal(ticker, answer):
            raise refusal
        try:
            return history_rows(answer.content, self._vendor.columns, self._vendor.records)
        except SourceError as error:
            raise self._said(type(error), ticker, str(error)) from None

    def _said(self, kind: type[SourceError], ticker: str, what: str) -> SourceError:
        return kind(f"the answer of {self._vendor.host} for {ticker} {self._vendor.cleaned(what)}")

    def _refusal(self, ticker: str, answer: Any) -> SourceError | None:
        """What a status other than 200 means."""
        status, host = answer.status_code, self._vendor.host
        if status == 200:
            return None
        kind, what = _meaning(status)
        error = kind(f"{host} {what} (HTTP {status} for {ticker})")
        if isinstance(error, RateLimitedError):
            error.retry_after = _seconds(answer.headers.get("Retry-After"), self._now())
        return error


def _meaning(status: int) -> tuple[type[SourceError], str]:
    if status == 429:
        return RateLimitedError, "limits the rate of requests; wait, or ask for fewer tickers"
    if status in (401, 402, 403):
        return AccessRefusedError, "does not let us in; check STOCK_ASSETS_HTTP_KEY and its rights"
    if status in (404, 410):
        return UnknownTickerError, "has no such ticker; check it and STOCK_ASSETS_HTTP_URL"
    if 300 <= status < 400:
        return SourceError, "sends us to another address; set STOCK_ASSETS_HTTP_URL to it"
    if 400 <= status < 500:
        return SourceError, "refuses to answer; check the ticker and STOCK_ASSETS_HTTP_URL"
    return SourceUnreachableError, "did not serve us, which says nothing of the ticker; try again"


def _seconds(retry_after: str | None, now: datetime) -> float:
    """Of the header: seconds, or a date; 0 where it says neither."""
    if not retry_after:
        return 0.0
    if retry_after.strip().isdigit():
        return float(retry_after)
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - now).total_seconds())
    except (TypeError, ValueError):
        return 0.0
