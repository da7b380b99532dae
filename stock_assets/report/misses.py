"""The largest ten misses: by how many of its own standard deviations a close was off."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import polars as pl

from stock_assets.report.numbers import percent
from stock_assets.report.rows import ReportRows

COUNT = 10


@dataclass(frozen=True)
class Miss:
    """`sigmas`: the error over the volatility that was forecast for the whole horizon.

    `command` prints the forecast that missed; `others` is how many more tickers missed that day.
    """

    ticker: str
    session: date
    as_of: date
    realised: str
    forecast: str
    interval: str
    sigmas: float
    others: int
    command: str


def largest_misses(rows: ReportRows, count: int = COUNT) -> Sequence[Miss]:
    """Descending; forecasts without a volatility are none that could be held against it."""
    horizon = rows.about.horizon
    outside = rows.scores.group_by("session").agg(
        outside=pl.col("covered_95").not_().sum().cast(pl.Int64)
    )
    found = (
        rows.scores.drop_nulls("error_return")
        .join(
            rows.forecasts.select(
                "ticker",
                "as_of_session",
                "close_usd",
                "forecast_volatility",
                "lower_95_usd",
                "upper_95_usd",
            ),
            on=["ticker", "as_of_session"],
        )
        .filter(pl.col("forecast_volatility") > 0)
        .with_columns(
            sigmas=pl.col("error_return") / (pl.col("forecast_volatility") * horizon**0.5)
        )
        .join(outside, on="session")
        .sort(pl.col("sigmas").abs(), "session", "ticker", descending=[True, True, False])
        .head(count)
    )
    return [
        Miss(
            row["ticker"],
            row["session"],
            row["as_of_session"],
            percent(row["realised_return"], digits=1, sign=True),
            percent(row["forecast_return"], digits=1, sign=True),
            _interval(row["lower_95_usd"], row["upper_95_usd"], row["close_usd"]),
            row["sigmas"],
            max(row["outside"] - (row["covered_95"] is False), 0),
            f"stock-assets forecast --session {row['as_of_session']}",
        )
        for row in found.iter_rows(named=True)
    ]


def _interval(lower: float | None, upper: float | None, close: float) -> str:
    if lower is None or upper is None:
        return "-"
    low, high = lower / close - 1, upper / close - 1
    return f"{percent(low, digits=1, sign=True)} .. {percent(high, digits=1, sign=True)}"
