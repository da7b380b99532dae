"""A vendor of prices on the loopback interface: CSV or JSON of given bars, faults included.

What is tested does not answer itself: values are written here as such vendors write them.
"""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl

from stock_assets_tests.stand_in_server import StandInServer

KEY = "s3cr3t+/key=of-mine"

_LONGEST_HOLD = 10.0


class HttpStandIn(StandInServer):
    """The server, as a context manager.

    Args:
        bars: BAR_SCHEMA.
        style: csv as Stooq writes it, without events; json as Tiingo does, with all of them.

    `script`: what the next requests meet, by ticker: a status, a tuple (status, headers, body),
    "slow", "trickle" (a byte now and then), "cut", or None for the answer itself. `asked`: requests
    by ticker; `queries`: each one's query.
    """

    def __init__(self, bars: pl.DataFrame, style: str = "json") -> None:
        super().__init__(_Handler)
        self.bars = bars
        self.style = style
        self.script: dict[str, list[Any]] = {}
        self.always: Any = None
        self.asked: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        """The template of its addresses."""
        return f"{self.origin}/daily/{{ticker}}?from={{first}}&to={{last:%Y%m%d}}&token={{key}}"

    def body(self, ticker: str, query: Mapping[str, str]) -> str:
        last = query["to"]
        rows = self.bars.filter(
            pl.col("ticker") == ticker,
            pl.col("session").cast(pl.String) >= query["from"],
            pl.col("session").dt.strftime("%Y%m%d") <= last,
        )
        return csv_of(rows) if self.style == "csv" else json_of(rows)


def csv_of(bars: pl.DataFrame) -> str:
    columns = {
        "session": "Date",
        **{n: n.title() for n in ("open", "high", "low", "close", "volume")},
    }
    return bars.select(*columns).rename(columns).write_csv(line_terminator="\r\n")


def json_of(bars: pl.DataFrame) -> str:
    return json.dumps(
        [
            {
                "date": f"{row['session']}T00:00:00.000Z",
                "close": row["close"],
                "high": row["high"],
                "low": row["low"],
                "open": row["open"],
                "volume": row["volume"],
                "adjClose": 1.0,
                "divCash": row["dividend"],
                "splitFactor": row["split_ratio"],
            }
            for row in bars.to_dicts()
        ]
    )


class _Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        stand_in = self.server.stand_in
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        ticker = parts.path.rpartition("/")[2]
        stand_in.asked[ticker] += 1
        stand_in.queries.append(query)
        script = stand_in.script.get(ticker)
        met = script.pop(0) if script else stand_in.always
        if met == "slow":
            stand_in.stopped.wait(_LONGEST_HOLD)
            return
        if isinstance(met, int):
            met = (met, {}, f"token {query.get('token')} was refused")
        status, headers, body = met if isinstance(met, tuple) else (200, {}, "")
        content = (body if isinstance(met, tuple) else stand_in.body(ticker, query)).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(100 if met == "trickle" else len(content)))
        self.end_headers()
        if met == "trickle":
            with suppress(OSError):  # whoever asked has left
                for byte in content.ljust(100):
                    self.wfile.write(bytes([byte]))
                    stand_in.stopped.wait(0.05)
            return
        self.wfile.write(content[: len(content) // 2] if met == "cut" else content)

    def log_message(self, *_: Any) -> None:
        pass
