"""A vendor of prices on the loopback interface: CSV or JSON of given bars, faults included.

What is tested does not answer itself: values are written here as such vendors write them.
"""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import polars as pl

KEY = "s3cr3t+/key=of-mine"

_LONGEST_HOLD = 10.0


class HttpStandIn:
    """The server, as a context manager.

    Args:
        bars: BAR_SCHEMA.
        style: csv as Stooq writes it, without events; json as Tiingo does, with all of them.

    `script`: what the next requests meet, by ticker: a status, a tuple (status, headers, body),
    "slow", "trickle" (a byte now and then), "cut", or None for the answer itself. `asked`: requests
    by ticker; `queries`: each one's query.
    """

    def __init__(self, bars: pl.DataFrame, style: str = "json") -> None:
        self.bars = bars
        self.style = style
        self.script: dict[str, list[Any]] = {}
        self.always: Any = None
        self.asked: Counter[str] = Counter()
        self.queries: list[dict[str, str]] = []
        self.stopped = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """From here on, connections are refused."""
        if self._thread.is_alive():
            self.stopped.set()
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    @property
    def url(self) -> str:
        """The template of its addresses."""
        return (
            f"http://127.0.0.1:{self._server.server_port}/daily/{{ticker}}"
            "?from={first}&to={last:%Y%m%d}&token={key}"
        )

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


class _Server(ThreadingHTTPServer):
    def __init__(self, stand_in: HttpStandIn) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.stand_in = stand_in


class _Handler(BaseHTTPRequestHandler):
    server: _Server

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
