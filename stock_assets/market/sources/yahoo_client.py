"""Asking Yahoo's chart API for one ticker through yfinance, and asking again where that may help.

yfinance makes the requests (cookies, crumbs, a browser's fingerprint). It keeps its state per
process; all of that state is handled here. What an answer means is `yahoo_answers`' matter.
"""

import atexit
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import polars as pl

from stock_assets.errors import RateLimitedError, SourceUnreachableError, UnexpectedShapeError
from stock_assets.market.sources.asking import RetryPolicy, retrying
from stock_assets.market.sources.yahoo_answers import failure, history_rows
from stock_assets.market.sources.yfinance_private import forget_answers, set_time_zone

# Events are looked for from a week before the first session: one that is dated on a day without a
# bar belongs to the next bar, whichever session the range starts with.
_EVENT_MARGIN = timedelta(days=7)
_CHART_API = "/v8/finance/chart/"
_WORTH_ANOTHER_TRY = (RateLimitedError, SourceUnreachableError, UnexpectedShapeError)

# yfinance has one session, cookie, answer cache and configuration per process.
_yfinance_state = threading.Lock()


class YahooClient:
    """Asks for one ticker at a time.

    Args:
        session: An HTTP session for yfinance; None takes the process's own.
        retries: When to try again, and when to give up.
        time_zone: The exchange's, in which days begin.
    """

    def __init__(self, session: Any, retries: RetryPolicy, time_zone: str) -> None:
        self._session = session
        self._retries = retries
        self._time_zone = time_zone

    def fetch_history(self, ticker: str, first: date, last: date) -> pl.DataFrame:
        """Bars from a week before `first` to `last`, in the shares of `last`.

        Returns:
            What `history_rows` does.

        Raises:
            RateLimitedError, SourceUnreachableError, UnexpectedShapeError: After the last try.
            UnknownTickerError, EmptyAnswerError: At once, for Yahoo said so itself.
        """
        again = retrying(ticker, self._retries, _WORTH_ANOTHER_TRY)
        return again(self._try_once, ticker, first, last)

    def _try_once(self, ticker: str, first: date, last: date) -> pl.DataFrame:
        import yfinance

        with _yfinance_state:
            _use_private_cache()
            # Otherwise an HTTP 500 becomes an empty frame that is "possibly delisted".
            yfinance.config.debug.hide_exceptions = False
            set_time_zone(ticker.upper(), self._time_zone)
            session = self._session or _shared_session()
            asked = yfinance.Ticker(ticker, session=session)
            forget_answers()
            with _watched(session, self._retries.timeout) as watch:
                try:
                    history = asked.history(
                        start=(first - _EVENT_MARGIN).isoformat(),
                        end=(last + timedelta(days=1)).isoformat(),
                        interval="1d",
                        auto_adjust=False,
                        back_adjust=False,
                        actions=True,
                        repair=False,
                        keepna=True,
                        timeout=self._retries.timeout,
                    )
                except Exception as error:
                    raise failure(ticker, error, watch.answer) from error
        return history_rows(ticker, history, watch.answer)


@dataclass
class _Watch:
    """The chart API's last response. yfinance hands out neither its status nor its error code."""

    answer: Any = None


@contextmanager
def _watched(session: Any, timeout: float) -> Iterator[_Watch]:
    """Lets a session tell what it was answered, and gives each of its requests the timeout.

    yfinance passes a timeout on to the chart API only; for the cookie and the crumb it is 30 s.
    """
    watch = _Watch()
    plain_get = session.get

    def get(url: str, **options: Any) -> Any:
        response = None
        try:
            response = plain_get(url, **{**options, "timeout": timeout})
        finally:
            if _CHART_API in url:
                watch.answer = response
        return response

    session.get = get
    try:
        yield watch
    finally:
        del session.get


@cache
def _use_private_cache() -> str:
    """Points yfinance's caches (time zones, cookies) at a folder of this process.

    Their default is the user's home, where one process's cookies outlive it and reach the next.
    Once only: yfinance does not move a cache that is open.
    """
    import yfinance

    folder = tempfile.mkdtemp(prefix="stock_assets_yfinance_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yfinance.set_tz_cache_location(folder)
    return folder


@cache
def _shared_session() -> Any:
    """One per process, for so is yfinance's crumb, which belongs to the session that fetched it."""
    from curl_cffi import requests

    return requests.Session(impersonate="chrome")
