"""A fan per ticker: its last closes in the bands that were forecast for them, and the coming band.

Everything is in the shares of the newest session: a split since would look like a crash. A dividend
since the forecast is taken off its bands, as it left the share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.report.charts import (
    BOTTOM,
    LEFT,
    RIGHT,
    TOP,
    session_axis,
    session_scale,
    value_axis,
)
from stock_assets.report.numbers import counted, price
from stock_assets.report.rows import ReportRows
from stock_assets.report.svg import Scale, drawing, element, nice_ticks, polyline, ribbon

SESSIONS = 60
OPEN = 12
"""Fans that are open when the page is: of five hundred, the others wait to be asked for."""
MOST = 600
"""Fans on a page: of five thousand tickers they would be thirty megabytes."""
_HEIGHT = 210.0
_BOUNDS = ("lower_95_usd", "upper_95_usd", "lower_80_usd", "upper_80_usd")


@dataclass(frozen=True)
class Fan:
    ticker: str
    says: str
    drawing: Markup


def fans(rows: ReportRows) -> list[Fan]:
    """By ticker, of the first MOST with a newest forecast."""
    sessions = sorted(rows.bars["session"].unique())[-SESSIONS:]
    targets = sorted(rows.newest["target_session"].unique())
    axis = [*sessions, *targets]
    place = {session: n for n, session in enumerate(axis)}
    closes = _closes(rows.bars)
    bands = _bands(rows, closes).filter(pl.col("target_session").is_in(axis))
    closes = closes.filter(pl.col("session").is_in(sessions))
    by_ticker = {str(t): part for (t,), part in bands.group_by("ticker", maintain_order=True)}
    closed = {str(t): part for (t,), part in closes.group_by("ticker", maintain_order=True)}
    return [
        _fan(n, row, by_ticker[row["ticker"]], closed.get(row["ticker"]), axis, place)
        for n, row in enumerate(rows.newest.head(MOST).iter_rows(named=True))
    ]


def _closes(bars: pl.DataFrame) -> pl.DataFrame:
    """`ticker, session, close, shares, paid`: in the newest session's shares.

    `shares`: what one share of the session has become since. `paid`: dividends up to the session,
    summed up in those shares.
    """
    sound = pl.col("quarantine_reason").is_null()
    ratio = pl.when(pl.col("split_ratio") > 0).then(pl.col("split_ratio")).fill_null(1.0)
    since = ratio.cum_prod(reverse=True).shift(-1).fill_null(1.0).over("ticker")
    return (
        bars.sort("ticker", "session")
        .with_columns(shares=since)
        .with_columns(
            close=pl.when(sound).then(pl.col("close") / pl.col("shares")),
            paid=(pl.col("dividend").fill_null(0.0) / pl.col("shares")).cum_sum().over("ticker"),
        )
        .select("ticker", "session", "close", "shares", "paid")
    )


def _bands(rows: ReportRows, closes: pl.DataFrame) -> pl.DataFrame:
    """Bounds by ticker and target session, and whether the target was outside the 95 % interval."""
    own = closes.select("ticker", as_of_session="session", shares="shares", paid_before="paid")
    then = closes.select("ticker", target_session="session", paid_then="paid")
    missed = rows.scores.select("ticker", target_session="session", held="covered_95")
    paid = pl.col("paid_then").fill_null(pl.col("paid_before")) - pl.col("paid_before")
    return (
        rows.forecasts.join(own, on=["ticker", "as_of_session"], how="left")
        .join(then, on=["ticker", "target_session"], how="left")
        .join(missed, on=["ticker", "target_session"], how="left")
        .with_columns(
            pl.col(name) / pl.col("shares").fill_null(1.0) - paid.fill_null(0.0) for name in _BOUNDS
        )
        .select("ticker", "target_session", "held", *_BOUNDS)
        .sort("ticker", "target_session")
    )


def _fan(
    n: int,
    row: dict[str, Any],
    bands: pl.DataFrame,
    closes: pl.DataFrame | None,
    axis: Sequence[Any],
    place: dict[Any, int],
) -> Fan:
    ticker, target = row["ticker"], row["target_session"]
    past = bands.filter(pl.col("target_session") < target)
    line: dict[int, float | None] = {}
    if closes is not None:
        line = {place[s]: c for s, c in closes.select("session", "close").iter_rows()}
    misses = [
        (place[s], line[place[s]])
        for s, held in past.select("target_session", "held").iter_rows()
        if held is False and line.get(place[s]) is not None
    ]
    values = [c for c in line.values() if c is not None] + [row["close_usd"]]
    for name in _BOUNDS[:2]:
        values += [float(v) for v in bands[name].drop_nulls()]
    ticks = nice_ticks(float(np.min(values)), float(np.max(values)), 4)
    x, y = session_scale(axis), Scale(ticks[0], ticks[-1], _HEIGHT - BOTTOM, TOP)
    parts: list[str] = [*value_axis(ticks, y, _short), *session_axis(axis, x, _HEIGHT)]
    for css, lower, upper in (("band-95", *_BOUNDS[:2]), ("band-80", *_BOUNDS[2:])):
        parts += [element("path", d=d, class_=css) for d in _areas(past, lower, upper, place, x, y)]
        parts += _coming_bar(row, lower, upper, css, x(place[target]), y)
    points = [None if (c := line.get(k)) is None else (x(k), y(c)) for k in range(place[target])]
    parts.append(element("path", d=polyline(points), class_="line close"))
    at = x(place[target])
    css = "walk" if row["model"] == RANDOM_WALK else "dot"
    parts.append(element("circle", cx=at, cy=y(row["forecast_close_usd"]), r=4, class_=css))
    parts += [
        element("path", d=_cross(x(k), y(c)), class_="line miss")
        for k, c in misses
        if c is not None
    ]
    coming = (
        "no interval"
        if row["lower_95_usd"] is None
        else f"{price(row['lower_95_usd'])} .. {price(row['upper_95_usd'])}"
    )
    missed = counted(len(misses), "close")
    description = (
        f"The last {sum(v is not None for v in line.values())} closes, {missed} outside the 95 %"
        f" interval; for {target} {price(row['forecast_close_usd'])}, 95 %: {coming}."
    )
    says = f"next {coming}; {len(misses)} outside"
    svg = drawing(f"fan-{n}", f"{ticker}: closes and intervals", description, _HEIGHT, *parts)
    return Fan(ticker, says, svg)


def _areas(
    past: pl.DataFrame, lower: str, upper: str, place: dict[Any, int], x: Scale, y: Scale
) -> list[str]:
    """A ribbon for each run of sessions in a row with a band."""
    known = [
        (place[s], low, high)
        for s, low, high in past.select("target_session", lower, upper).iter_rows()
        if low is not None
    ]
    cuts = [n + 1 for n, (a, b) in enumerate(pairwise(known)) if b[0] != a[0] + 1]
    runs = [known[a:b] for a, b in pairwise([0, *cuts, len(known)])]
    return [
        ribbon([x(k) for k, _, _ in run], [y(v) for _, v, _ in run], [y(v) for _, _, v in run])
        for run in runs
        if run
    ]


def _coming_bar(
    row: dict[str, Any], lower: str, upper: str, css: str, at: float, y: Scale
) -> list[Markup]:
    if row[lower] is None:
        return []
    top, end = y(row[upper]), y(row[lower])
    width = 6.0 if css == "band-95" else 10.0
    left = min(at - width / 2, RIGHT - width / 2)
    return [
        element(
            "rect",
            x=max(left, LEFT),
            y=top,
            width=width,
            height=end - top,
            rx=2,
            class_=f"{css} coming",
        )
    ]


def _cross(x: float, y: float) -> str:
    return polyline([(x - 4, y - 4), (x + 4, y + 4)]) + polyline([(x - 4, y + 4), (x + 4, y - 4)])


def _short(value: float) -> str:
    """A price on an axis: no more digits than its grid needs."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.6g}"
