"""Stored forecasts and outcomes made by hand, to judge others beside."""

import math
from datetime import date
from typing import Any

import polars as pl

from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA
from stock_assets.forecasting.intervals import BOUNDS, COVERAGES, normal_quantiles

D1, D2, D3, D4 = date(2024, 2, 29), date(2024, 3, 1), date(2024, 3, 4), date(2024, 3, 5)
"""A Thursday to a Tuesday: two sessions lie on either side of a weekend."""
MLFORECAST = "mlforecast.csv"


def own_row(
    ticker: str, as_of: date, target: date, close: float, unit: float, point: float = 0.0
) -> dict[str, Any]:
    """A forecast with a normal law of that width around the point; bounds twice as far away."""
    law = normal_quantiles()
    names = [f"{side}_{coverage}_usd" for coverage in COVERAGES for side in ("lower", "upper")]
    assert len(names) == len(BOUNDS)
    return {
        "ticker": ticker,
        "as_of_session": as_of,
        "target_session": target,
        "close_usd": close,
        "volatility_1d": unit,
        "forecast_volatility": unit,
        "forecast_return": point,
        "forecast_close_usd": close * math.exp(point),
        **{
            name: close * math.exp(point + 2 * unit * bound)
            for name, bound in zip(names, law.bounds, strict=True)
        },
        "quantile_returns": [point + unit * z for z in law.grid],
        "model": "random_walk",
        "is_fallback": False,
    }


def own_forecasts(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{n: row.get(n) for n in FORECAST_SCHEMA} for row in rows], FORECAST_SCHEMA)


def outcome(ticker: str, session: date, realised: float | None) -> dict[str, Any]:
    return {
        "ticker": ticker,
        "session": session,
        "realised_return": realised,
        "error_return": realised,
        "error_return_random_walk": realised,
    }


def outcomes(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{n: row.get(n) for n in SCORE_SCHEMA} for row in rows], SCORE_SCHEMA)
