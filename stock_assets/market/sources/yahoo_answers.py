"""What an answer of Yahoo's chart API means: rows of a history, or the reason why there are none.

Decided from the HTTP status and the body, because yfinance calls most failures "possibly delisted".
No request is made here.
"""

from bisect import bisect_left
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from stock_assets.errors import (
    EmptyAnswerError,
    RateLimitedError,
    SourceError,
    SourceUnreachableError,
    UnexpectedShapeError,
    UnknownTickerError,
)
from stock_assets.market.bars import PRICES

_TOO_MANY_REQUESTS = 429
# Yahoo explains itself in JSON under these; under any other status it did not serve the request.
_EXPLAINED = frozenset({200, 400, 404, 422})
_OTHER_SHAPE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def history_rows(ticker: str, history: Any, answer: Any) -> pl.DataFrame:
    """One ticker's history, in the shares of the day that it was asked for up to.

    Args:
        ticker: The one that was asked for.
        history: yfinance's pandas frame of the answer, one row per session.
        answer: The response itself, for its events: where an event's session has no bar, yfinance
            moves it to the bar before, whose price does not have it yet.

    Returns:
        `session, open, high, low, close, volume, dividend, split_ratio`, sessions ascending. A
        price that Yahoo left out is null (its volume is 0: yfinance fills it); without an event the
        dividend is 0.0 and the split ratio 1.0. After the newest bar there may be a row without
        prices, for an event.

    Raises:
        EmptyAnswerError: There is no row.
        UnexpectedShapeError: The events are not as Yahoo used to write them.
    """
    if history.empty:
        raise _empty(ticker, "no bars")
    try:
        result = answer.json()["chart"]["result"][0]
        sessions = [stamp.date() for stamp in history.index]
        dividends, ratios = _events(result, sessions)
        columns = {name: history[name.title()].to_numpy(dtype=float) for name in PRICES}
        volume = history["Volume"].to_numpy(dtype=float)
    except _OTHER_SHAPE as error:
        raise _unreadable(ticker, repr(error)) from error
    return pl.DataFrame(
        {
            "session": sessions,
            **columns,
            "volume": volume,
            "dividend": dividends,
            "split_ratio": ratios,
        }
    ).with_columns(pl.col(pl.Float64).fill_nan(None))


def _events(result: Mapping[str, Any], sessions: list[date]) -> tuple[list[float], list[float]]:
    """Dividends and split ratios, each at the first bar that trades with the event in its price."""
    zone = ZoneInfo(result["meta"]["exchangeTimezoneName"])
    dividends, ratios = [0.0] * len(sessions), [1.0] * len(sessions)

    def row_of(event: Mapping[str, Any]) -> int:
        day = datetime.fromtimestamp(event["date"], UTC).astimezone(zone).date()
        return bisect_left(sessions, day)

    events = result.get("events") or {}
    for event in (events.get("dividends") or {}).values():
        dividends[row_of(event)] += float(event["amount"])
    for event in (events.get("splits") or {}).values():
        ratios[row_of(event)] *= float(event["numerator"]) / float(event["denominator"])
    return dividends, ratios


def failure(ticker: str, error: Exception, answer: Any) -> SourceError:
    """What it means that yfinance raised `error`.

    Args:
        ticker: The one that was asked for.
        error: What yfinance raised.
        answer: The chart API's last response; None where none came.
    """
    from yfinance.exceptions import YFRateLimitError

    status = None if answer is None else answer.status_code
    if isinstance(error, YFRateLimitError) or status == _TOO_MANY_REQUESTS:
        return RateLimitedError(
            f"Yahoo limits the rate of requests (HTTP 429 at {ticker}); wait some minutes and try"
            " again"
        )
    if answer is None:
        if isinstance(error, OSError):  # curl_cffi's and requests' network errors are OSErrors
            why = _one_line(error).partition(". See http")[0]  # curl's reading list
            return SourceUnreachableError(
                f"Yahoo can't be reached (at {ticker}): {why}; try again, or use"
                " STOCK_ASSETS_SOURCE=sample"
            )
        return SourceError(
            f"yfinance can't ask for {ticker} ({_one_line(repr(error))}); check the ticker"
        )
    if status not in _EXPLAINED or "Will be right back" in answer.text:
        return SourceUnreachableError(
            f"Yahoo did not serve {ticker} (HTTP {status}), which says nothing about the ticker;"
            " try again, or use STOCK_ASSETS_SOURCE=sample"
        )
    try:
        return _explained(ticker, answer.json()["chart"]) or _unreadable(ticker, repr(error))
    except _OTHER_SHAPE:
        return _unreadable(ticker, f"HTTP {status}, {_one_line(answer.text)!r}")


def _explained(ticker: str, chart: Mapping[str, Any]) -> SourceError | None:
    """The reason that Yahoo itself gives for a chart without bars, if it gives one."""
    if reason := chart.get("error"):
        code, description = reason["code"], reason.get("description")
        if code == "Not Found":
            return UnknownTickerError(
                f"Yahoo has no ticker {ticker} ({description}); check its spelling (class shares"
                " have a hyphen: BRK-B), or take it out of STOCK_ASSETS_TICKERS"
            )
        if "Data doesn't exist" in str(description):
            return _empty(ticker, str(description))
        return SourceError(
            f"Yahoo refuses to answer for {ticker} ({code}: {description}); check the ticker and"
            " the first session"
        )
    results = chart["result"]
    if not results:
        return _empty(ticker, "no result")
    if not results[0].get("timestamp") and not results[0]["indicators"]["quote"][0].get("close"):
        return _empty(ticker, "no bars")
    return None


def _empty(ticker: str, what: str) -> EmptyAnswerError:
    return EmptyAnswerError(
        f"Yahoo has no bar of {ticker} in the range ({what}); check the ticker and the first"
        " session"
    )


def _unreadable(ticker: str, what: str) -> UnexpectedShapeError:
    return UnexpectedShapeError(
        f"Yahoo's answer for {ticker} is not a price history ({what}); try again, and if it stays"
        " so look for a newer yfinance"
    )


def _one_line(text: object) -> str:
    return " ".join(str(text).split())[:160]
