"""A server on the loopback interface that answers as Yahoo's chart API does, faults included.

It is given histories as traded and applies the split adjustment itself, up to its own `today`. The
shapes of its answers follow query2.finance.yahoo.com/v8/finance/chart as of yfinance 1.7. Nothing
of `stock_assets` is used here: what is tested must not answer itself.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from enum import Enum, auto
from http import HTTPStatus
from http.cookiejar import Cookie
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from curl_cffi import requests

from stock_assets_tests.stand_in_server import StandInServer

NEW_YORK = "America/New_York"
_OPENING, _WHILE_OPEN = time(9, 30), time(11, 42, 17)
_LONGEST_HOLD = 10.0
_IN_2033 = 1_999_999_999  # from 2e9 on, yfinance takes a date for milliseconds
_PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Bar:
    """One session as traded; None is what Yahoo writes as null."""

    session: date
    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float | None = 1_000_000.0


@dataclass(frozen=True)
class Listing:
    """One ticker's history as traded.

    `splits` and `dividends` are by the day that Yahoo dates them; a dividend is what was paid per
    share of that day.
    """

    bars: Sequence[Bar]
    splits: Mapping[date, tuple[int, int]] = field(default_factory=dict)
    dividends: Mapping[date, float] = field(default_factory=dict)
    time_zone: str = NEW_YORK
    instrument: str = "EQUITY"

    def shares_of(self, today: date, day: date) -> float:
        """How many of today's shares one share of `day` became."""
        count = 1.0
        for effective, (new, old) in self.splits.items():
            if day < effective <= today:
                count *= new / old
        return count


class Fault(Enum):
    """What one request for a chart may meet instead of its answer."""

    RATE_LIMIT = auto()
    SERVER_ERROR = auto()
    """HTTP 500 that explains itself in the chart API's JSON."""
    BAD_GATEWAY = auto()
    """HTTP 502 with a page of a proxy's."""
    NOT_FOUND_PAGE = auto()
    """HTTP 404 that is not the chart API's."""
    FORBIDDEN = auto()
    NO_RESULT = auto()
    """Neither a result nor an error."""
    NO_BARS = auto()
    """Meta data without timestamps, as for a range without trading."""
    NO_QUOTES = auto()
    """The field `indicators` is missing."""
    NO_VALUE_OF_LAST = auto()
    """One close fewer than timestamps."""
    NULL_CLOSES = auto()
    NOT_A_CHART = auto()
    """JSON of another kind."""
    HTML = auto()
    DOWN_PAGE = auto()
    SLOW = auto()
    """No answer until the stand-in stops."""
    CUT = auto()
    """The connection ends before the answer."""
    CUT_MIDWAY = auto()
    """The connection ends inside the answer."""


_PAGES = {
    Fault.RATE_LIMIT: (HTTPStatus.TOO_MANY_REQUESTS, "Edge: Too Many Requests"),
    Fault.BAD_GATEWAY: (HTTPStatus.BAD_GATEWAY, "<!DOCTYPE html><title>Bad Gateway</title>"),
    Fault.NOT_FOUND_PAGE: (HTTPStatus.NOT_FOUND, "<!DOCTYPE html><title>Not Found</title>"),
    Fault.FORBIDDEN: (HTTPStatus.FORBIDDEN, "<!DOCTYPE html><title>Forbidden</title>"),
    Fault.HTML: (HTTPStatus.OK, "<!DOCTYPE html><title>Sign in to the network</title>"),
    Fault.DOWN_PAGE: (HTTPStatus.OK, "<!DOCTYPE html><h1>Will be right back...</h1>"),
    Fault.NOT_A_CHART: (HTTPStatus.OK, '{"finance": {"result": null}}'),
}


class YahooStandIn(StandInServer):
    """The server, as a context manager.

    Args:
        listings: By Yahoo's symbol; any other is unknown.
        today: The newest date that it knows bars and splits of; may be moved later.
    """

    def __init__(self, listings: Mapping[str, Listing], today: date) -> None:
        super().__init__(_Handler)
        self.listings = dict(listings)
        self.today = today
        self.is_open = False
        """Whether today's session goes on: then its bar carries the time of the last trade."""
        self.crumb_fault: Fault | None = None
        self.requests: Counter[tuple[str, str]] = Counter()
        """How often was asked for (what, ticker): chart, crumb, cookie, consent or other."""
        self._scripts: dict[str, list[Fault | None]] = {}
        self._lock = threading.Lock()

    def session(self) -> "StandInSession":
        return StandInSession(self.origin)

    def script(self, ticker: str, *faults: Fault | None) -> None:
        """What the ticker's next chart requests meet, in order; None is a good answer.

        yfinance asks twice per try where the first answer has a status of 400 or more.
        """
        self._scripts[ticker] = list(faults)

    def asked(self, what: str, ticker: str | None = None) -> int:
        """How many requests there were for `what`, of one ticker or of all."""
        return sum(
            count
            for (kind, symbol), count in self.requests.items()
            if kind == what and ticker in (None, symbol)
        )

    def next_fault(self, what: str, ticker: str) -> Fault | None:
        with self._lock:
            self.requests[what, ticker] += 1
            if what == "crumb":
                return self.crumb_fault
            script = self._scripts.get(ticker)
            return script.pop(0) if script else None

    def chart(self, ticker: str, query: Mapping[str, str], fault: Fault | None) -> "_Answer":
        """Status and JSON of a chart request, in the shares of `today`."""
        if fault is Fault.SERVER_ERROR:
            return _refusal(
                HTTPStatus.INTERNAL_SERVER_ERROR, "Internal Server Error", "Try again later"
            )
        if fault is Fault.NO_RESULT:
            return HTTPStatus.OK, {"chart": {"result": None, "error": None}}
        listing = self.listings.get(ticker)
        if listing is None:
            return _refusal(
                HTTPStatus.NOT_FOUND, "Not Found", "No data found, symbol may be delisted"
            )
        start, end = query["period1"], query["period2"]

        def is_wanted(stamp: int) -> bool:
            return int(start) <= stamp < int(end)

        bars = {
            stamp: bar
            for bar in listing.bars
            if bar.session <= self.today and is_wanted(stamp := self._stamp(listing, bar.session))
        }
        if not bars:
            return _refusal(
                HTTPStatus.BAD_REQUEST,
                "Bad Request",
                f"Data doesn't exist for startDate = {start}, endDate = {end}",
            )
        result: dict[str, Any] = {
            "meta": {
                "currency": "USD",
                "symbol": ticker,
                "instrumentType": listing.instrument,
                "exchangeTimezoneName": listing.time_zone,
                "priceHint": 2,
                "dataGranularity": "1d",
                "validRanges": ["1d", "5d", "1mo", "max"],
            },
            "timestamp": list(bars),
            "indicators": self._indicators(listing, list(bars.values())),
        }
        if events := self._events(listing, is_wanted):
            result["events"] = events
        _spoil(result, fault)
        return HTTPStatus.OK, {"chart": {"result": [result], "error": None}}

    def _stamp(self, listing: Listing, day: date) -> int:
        at = _WHILE_OPEN if self.is_open and day == self.today else _OPENING
        return int(datetime.combine(day, at, ZoneInfo(listing.time_zone)).timestamp())

    def _indicators(self, listing: Listing, bars: Sequence[Bar]) -> dict[str, Any]:
        counts = [listing.shares_of(self.today, bar.session) for bar in bars]
        quote: dict[str, list[float | None]] = {
            name: [
                None if (price := getattr(bar, name)) is None else price / count
                for bar, count in zip(bars, counts, strict=True)
            ]
            for name in _PRICES
        }
        quote["volume"] = [
            None if bar.volume is None else bar.volume * count
            for bar, count in zip(bars, counts, strict=True)
        ]
        return {"quote": [quote], "adjclose": [{"adjclose": self._less_dividends(listing, bars)}]}

    def _less_dividends(self, listing: Listing, bars: Sequence[Bar]) -> list[float | None]:
        """Closes that later dividends are taken from, each as a share of the close before it."""
        adjusted: list[float | None] = []
        factor = 1.0
        for bar, before in zip(reversed(bars), [*reversed(bars[:-1]), None], strict=True):
            count = listing.shares_of(self.today, bar.session)
            adjusted.append(None if bar.close is None else bar.close / count * factor)
            if before is not None and before.close is not None:
                factor *= 1 - listing.dividends.get(bar.session, 0.0) / before.close
        return adjusted[::-1]

    def _events(self, listing: Listing, is_wanted: Callable[[int], bool]) -> dict[str, Any]:
        def stamped(days: Mapping[date, Any]) -> list[tuple[int, date]]:
            stamps = ((self._stamp(listing, day), day) for day in days if day <= self.today)
            return [(stamp, day) for stamp, day in stamps if is_wanted(stamp)]

        dividends = {
            str(stamp): {
                "amount": listing.dividends[day] / listing.shares_of(self.today, day),
                "date": stamp,
            }
            for stamp, day in stamped(listing.dividends)
        }
        splits = {
            str(stamp): {
                "date": stamp,
                "numerator": float(listing.splits[day][0]),
                "denominator": float(listing.splits[day][1]),
                "splitRatio": "{}:{}".format(*listing.splits[day]),
            }
            for stamp, day in stamped(listing.splits)
        }
        events = {"dividends": dividends, "splits": splits}
        return {name: found for name, found in events.items() if found}


_Answer = tuple[HTTPStatus, dict[str, Any]]


def _refusal(status: HTTPStatus, code: str, description: str) -> _Answer:
    return status, {"chart": {"result": None, "error": {"code": code, "description": description}}}


def _spoil(result: dict[str, Any], fault: Fault | None) -> None:
    if fault is Fault.NO_BARS:
        del result["timestamp"]
        result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    elif fault is Fault.NO_QUOTES:
        del result["indicators"]
    elif fault is Fault.NO_VALUE_OF_LAST:
        result["indicators"]["quote"][0]["close"].pop()
    elif fault is Fault.NULL_CLOSES:
        closes = result["indicators"]["quote"][0]["close"]
        closes[:] = [None] * len(closes)


class StandInSession(requests.Session):
    """A session of curl_cffi that takes *.yahoo.com to the stand-in and goes nowhere else."""

    def __init__(self, origin: str) -> None:
        super().__init__(trust_env=False)
        self._origin = origin

    def request(self, method: Any, url: str, *args: Any, **options: Any) -> Any:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if host != "yahoo.com" and not host.endswith(".yahoo.com"):
            raise AssertionError(f"a request left for {url}")
        query = f"?{parts.query}" if parts.query else ""
        response = super().request(
            method, f"{self._origin}/{host}{parts.path}{query}", *args, **options
        )
        if host == "fc.yahoo.com":
            self.cookies.jar.set_cookie(_cookie())
        return response


def _cookie() -> Cookie:
    """What fc.yahoo.com sets for all of .yahoo.com, which a server of another name can't."""
    return Cookie(
        version=0,
        name="A3",
        value="d=stand-in",
        port=None,
        port_specified=False,
        domain=".yahoo.com",
        domain_specified=True,
        domain_initial_dot=True,
        path="/",
        path_specified=True,
        secure=True,
        expires=_IN_2033,
        discard=False,
        comment=None,
        comment_url=None,
        rest={},
    )


def forget_yahoo() -> None:
    """Puts yfinance's state of the process (cookies, crumb, cached answers) back to its start."""
    from yfinance import cache
    from yfinance.data import YfData

    data = YfData()
    data._cookie = data._crumb = None
    data._cookie_strategy = "basic"
    data.cache_get.cache_clear()
    if (cookies := cache._CookieCacheManager._Cookie_cache) is not None:
        cookies.store("curlCffi", None)


class _Handler(BaseHTTPRequestHandler):
    """One request: which of Yahoo's hosts and pages it is for stands in the path."""

    server: Any

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        _, host, *folders = unquote(parts.path).split("/")
        stand_in = self.server.stand_in
        if folders[:3] == ["v8", "finance", "chart"]:
            query = {key: values[0] for key, values in parse_qs(parts.query).items()}
            self._answer_chart(folders[3], query)
        elif folders[-1:] == ["getcrumb"]:
            self._answer_crumb(stand_in.next_fault("crumb", ""))
        elif host == "fc.yahoo.com":
            stand_in.next_fault("cookie", "")
            self._answer(HTTPStatus.NOT_FOUND, "")
        elif host == "guce.yahoo.com":
            stand_in.next_fault("consent", "")
            self._answer(HTTPStatus.OK, "<html><body>no form here</body></html>")
        else:
            stand_in.next_fault("other", parts.path)
            self._answer(HTTPStatus.NOT_FOUND, "{}")

    def _answer_crumb(self, fault: Fault | None) -> None:
        if fault is Fault.SLOW:
            self.server.stand_in.stopped.wait(_LONGEST_HOLD)
        elif fault:
            self._answer(*_PAGES[fault])
        else:
            self._answer(HTTPStatus.OK, "a.Crumb/of.it")

    def _answer_chart(self, ticker: str, query: Mapping[str, str]) -> None:
        stand_in = self.server.stand_in
        fault = stand_in.next_fault("chart", ticker)
        if fault is Fault.SLOW:
            stand_in.stopped.wait(_LONGEST_HOLD)
        elif fault in _PAGES:
            self._answer(*_PAGES[fault])
        elif fault is not Fault.CUT:
            status, chart = stand_in.chart(ticker, query, fault)
            self._answer(status, json.dumps(chart), is_whole=fault is not Fault.CUT_MIDWAY)

    def _answer(self, status: HTTPStatus, body: str, *, is_whole: bool = True) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if body[:1] == "{" else "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if is_whole else content[: len(content) // 2])

    def log_message(self, *_: object) -> None:
        """Says nothing: a test shows what fails."""
