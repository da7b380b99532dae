"""Two charts that stand alone: the coming fan of a few tickers, and errors by session.

They are for pages that show an image and nothing around it, so colours lie within; everything is
computed of what one run has at hand.
"""

import base64
from collections.abc import Sequence
from datetime import date
from typing import Any

import polars as pl
from markupsafe import Markup

from stock_assets.report.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    Line,
    Rule,
    Sessions,
    session_axis,
    session_chart,
    session_scale,
    value_axis,
)
from stock_assets.report.numbers import percent
from stock_assets.report.svg import WIDTH, Scale, element, group, nice_ticks, number, polyline

FAN_SESSIONS = 60
MOST_FANS = 6
"""Tickers on a picture: more would be too small to read, and the report has them all."""
_HEIGHT, _TITLE = 170.0, 16.0
_STYLE = (
    "svg{background:#fff}text{font:11px system-ui,sans-serif;fill:#55606e}"
    ".name{font-weight:600;fill:#1a1f26}.end{text-anchor:end}.middle{text-anchor:middle}"
    ".grid{stroke:#e9ecf0}.axis{stroke:#d5dae1}.line{fill:none;stroke:#1a1f26;stroke-width:1.5}"
    ".line.model{stroke:#0a58a8}.line.walk{stroke:#5f6b7a;stroke-dasharray:2 3}"
    ".line.limit{stroke:#a24a00;stroke-dasharray:6 4}.band-95{fill:#c9def3}.band-80{fill:#8fbce8}"
    ".dot{fill:#0a58a8}"
)


def fan_picture(features: pl.DataFrame, forecasts: pl.DataFrame) -> str:
    """The last closes of the first tickers, and the coming close in its 80 and 95 % intervals.

    Args:
        features: `ticker, session, close_usd, return_1d`, up to the forecasts' own session.
        forecasts: FORECAST_SCHEMA of one session, sorted by ticker; at least one row.

    Returns:
        An SVG file. Earlier closes are in the shares of the newest, dividends reinvested: what
        returns say.
    """
    shown = forecasts.head(MOST_FANS)
    fans = [
        _fan(row["ticker"], features.filter(pl.col("ticker") == row["ticker"]), row)
        for row in shown.iter_rows(named=True)
    ]
    columns = min(2, len(fans))
    height = _HEIGHT + _TITLE
    placed = [
        group([fan], transform=f"translate({n % columns * WIDTH} {number(n // columns * height)})")
        for n, fan in enumerate(fans)
    ]
    rows = -(-len(fans) // columns)
    return _file(columns * WIDTH, rows * height, *placed)


def _fan(ticker: str, past: pl.DataFrame, row: dict[str, Any]) -> Markup:
    past = past.sort("session").tail(FAN_SESSIONS)
    # Of each close: by how much the share has grown since.
    grown = past["return_1d"].fill_null(0.0).reverse().cum_sum().shift(1).fill_null(0.0).reverse()
    newest: float = past["close_usd"][-1]
    closes = (newest * (-grown).exp()).to_list()
    bounds = [row[f"{side}_{n}_usd"] for n in (95, 80) for side in ("lower", "upper")]
    known = [float(bound) for bound in bounds if isinstance(bound, float)]
    point = row["forecast_close_usd"]
    seen = [*closes, *known, *([point] if isinstance(point, float) else [])]
    ticks = nice_ticks(min(seen), max(seen), 4)
    sessions: list[date] = [*past["session"], row["target_session"]]
    x, y = session_scale(sessions), Scale(ticks[0], ticks[-1], _HEIGHT - BOTTOM, TOP)
    last, target = x(len(closes) - 1), x(len(closes))
    parts = [
        element("text", ticker, x=LEFT, y=2, class_="name"),
        *value_axis(ticks, y, lambda value: f"{value:,.6g}"),
        *session_axis(sessions, x, _HEIGHT),
    ]
    if len(known) == len(bounds):
        width = max(target - last, 5.0)
        left = min(target - width / 2, RIGHT - width)
        for css, (lower, upper) in (("band-95", known[:2]), ("band-80", known[2:])):
            top, tall = y(upper), y(lower) - y(upper)
            parts.append(element("rect", x=left, y=top, width=width, height=tall, class_=css))
    points = [(x(n), y(close)) for n, close in enumerate(closes)]
    parts.append(element("path", d=polyline(points), class_="line"))
    if isinstance(point, float):
        parts.append(element("circle", cx=min(target, RIGHT - 2), cy=y(point), r=3, class_="dot"))
    return group(parts, transform=f"translate(0 {number(_TITLE - 2)})")


def error_picture(
    sessions: Sequence[date],
    own: Sequence[float | None],
    random_walk: Sequence[float | None],
    limit: float | None,
) -> str:
    """RMSE of the log return over all tickers by session, the random walk's, and the threshold.

    Args:
        sessions: Ascending.
        own: Of each; None where nothing was scored.
        random_walk: The same of a forecast of no change.
        limit: Of the rolling RMSE, where one is set.
    """
    lines = [Line("forecasts", "model", own), Line("random walk", "walk", random_walk)]
    rules = [Rule(limit)] if limit else []
    shown = Sessions(sessions, lines, lambda value: percent(value, digits=1), rules, from_zero=True)
    figure = session_chart("errors", "RMSE by session", "Forecasts and random walk.", shown)
    names = ["blue: forecasts", "dotted: random walk", "dashed: threshold of the rolling RMSE"]
    key = "; ".join(names[: 2 + len(rules)])
    label = element("text", key, x=LEFT, y=shown.height + 12, class_="key")
    chart = element("svg", figure.drawing, width=WIDTH, height=shown.height)
    return _file(WIDTH, shown.height + 20, chart, label)


def as_markdown(name: str, picture: str) -> str:
    """A picture inside of Markdown itself."""
    encoded = base64.b64encode(picture.encode()).decode()
    return f"![{name}](data:image/svg+xml;base64,{encoded})"


def _file(width: float, height: float, *children: Markup) -> str:
    return element(
        "svg",
        element("style", Markup(_STYLE)),  # noqa: S704  # ours
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=int(width * 1.6),
        height=int(height * 1.6),
    )
