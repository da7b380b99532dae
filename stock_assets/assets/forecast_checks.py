"""Checks of forecasts: what nobody may be told, who is missing, and how old the versions are.

A forecast whose interval is not one would spread into scores, alerts and the record: it is refused
before it is stored, and the check says of which rows.
"""

from datetime import date
from itertools import pairwise

import dagster as dg
import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.assets.attributes import preview
from stock_assets.errors import ImpossibleForecastError
from stock_assets.forecasting.intervals import COVERAGES

NESTED_AND_FINITE = dg.AssetCheckSpec(
    "intervals_are_nested_and_finite",
    asset=Asset.DAILY_FORECAST,
    description="Each forecast is a positive number, and has either no interval or all three:"
    " finite, positive, and one within the next. A run with any other stores nothing.",
)
EVERY_BAR_WAS_FORECAST = dg.AssetCheckSpec(
    "every_ticker_with_a_bar_was_forecast",
    asset=Asset.DAILY_FORECAST,
    description="Of the run's newest session: each ticker that has a bar has a forecast. One in"
    " quarantine, or that is no member, has none.",
)
VERSIONS_ARE_RECENT = dg.AssetCheckSpec(
    "versions_are_recent",
    asset=Asset.DAILY_FORECAST,
    description="Of the run's newest session: the version that made the points was trained within"
    " the last two months. An older one means that months were not trained, or were rejected.",
)
FORECAST_CHECKS = (NESTED_AND_FINITE, EVERY_BAR_WAS_FORECAST, VERSIONS_ARE_RECENT)
MOST_AGE_DAYS = 62
"""Of a version: its month, and one more in which a retrain may have been rejected."""


def impossible(forecasts: pl.DataFrame) -> pl.DataFrame:
    """The rows (FORECAST_SCHEMA) that nobody may be told."""
    ends = [
        *(f"lower_{coverage}_usd" for coverage in reversed(COVERAGES)),
        *(f"upper_{coverage}_usd" for coverage in COVERAGES),
    ]
    # Ends may touch: a price that did not move for long has no width. The point may lie outside: it
    # and the interval may be of two versions.
    ordered = pl.all_horizontal(pl.col(low) <= pl.col(high) for low, high in pairwise(ends))
    finite = pl.all_horizontal(pl.col(name).is_finite() & (pl.col(name) > 0) for name in ends)
    without = pl.all_horizontal(pl.col(name).is_null() for name in ends)
    point = pl.col("forecast_close_usd")
    is_point = (point.is_finite() & (point > 0)).fill_null(False)
    return forecasts.filter(~is_point | ~(without | (ordered & finite).fill_null(False)))


def check_intervals(forecasts: pl.DataFrame) -> dg.AssetCheckResult:
    """Of what is about to be stored."""
    bad = impossible(forecasts)
    shown = bad.select(
        "ticker", "as_of_session", "lower_95_usd", "forecast_close_usd", "upper_95_usd"
    )
    return dg.AssetCheckResult(
        check_name=NESTED_AND_FINITE.name,
        passed=bad.is_empty(),
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"{bad.height} of {forecasts.height} forecasts can't be",
        metadata={"impossible": preview(shown)} if bad.height else {},
    )


def refuse_impossible(forecasts: pl.DataFrame) -> None:
    """Raises ImpossibleForecastError where one can't be."""
    bad = impossible(forecasts)
    if bad.height:
        first = bad.row(0, named=True)
        raise ImpossibleForecastError(
            f"{bad.height} forecasts can't be, the first of {first['ticker']} from"
            f" {first['as_of_session']}: nothing of the run was stored; `stock-assets rollback`"
            " takes the version that made them out of service"
        )


def check_tickers(
    forecasts: pl.DataFrame, bars: pl.DataFrame, session: date
) -> dg.AssetCheckResult:
    """Whether each stored bar of a session has a forecast from it.

    Args:
        forecasts: FORECAST_SCHEMA.
        bars: `ticker, quarantine_reason` of the session.
        session: The run's newest.
    """
    forecast = forecasts.filter(pl.col("as_of_session") == session)["ticker"]
    missing = bars.filter(~pl.col("ticker").is_in(forecast.to_list())).sort("ticker")
    return dg.AssetCheckResult(
        check_name=EVERY_BAR_WAS_FORECAST.name,
        passed=missing.is_empty(),
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{session}: {forecast.len()} forecasts of {bars.height} bars",
        metadata={"not_forecast": preview(missing, rows=50)} if missing.height else {},
    )


def check_age(forecasts: pl.DataFrame, session: date) -> dg.AssetCheckResult:
    """How long before a session the version of its points was trained; none is no old one."""
    own = forecasts.filter(pl.col("as_of_session") == session)
    through: date | None = own.select(pl.col("trained_through").min()).item()
    days = (session - through).days if through else 0
    said = f"trained through {through}, {days} days before {session}" if through else "no version"
    return dg.AssetCheckResult(
        check_name=VERSIONS_ARE_RECENT.name,
        passed=days <= MOST_AGE_DAYS,
        severity=dg.AssetCheckSeverity.WARN,
        description=said,
    )
