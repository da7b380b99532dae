"""The forecast of the next session's close, with intervals, from one session's features."""

from dataclasses import dataclass
from datetime import date

import numpy as np
import polars as pl

from stock_assets.forecasting.features import complete_rows
from stock_assets.forecasting.intervals import (
    COVERAGES,
    GRID,
    StandardQuantiles,
    normal_quantiles,
)
from stock_assets.forecasting.model import ShrunkRegressor, feature_matrix
from stock_assets.forecasting.promotion import ModelVersion

RANDOM_WALK = "random_walk"

FORECAST_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "as_of_session": pl.Date(),
    "target_session": pl.Date(),
    "close_usd": pl.Float64(),
    "volatility_1d": pl.Float64(),
    "forecast_return": pl.Float64(),
    "forecast_close_usd": pl.Float64(),
    **{
        f"{side}_{coverage}_usd": pl.Float64()
        for coverage in COVERAGES
        for side in ("lower", "upper")
    },
    "quantile_returns": pl.List(pl.Float64()),
    "model": pl.String(),
    "model_version": pl.Int64(),
    "trained_through": pl.Date(),
    "is_fallback": pl.Boolean(),
    "fallback_reason": pl.String(),
}
"""Columns of a forecast. Prices are in the shares of `as_of_session`: a split or dividend on the
target session is not known yet. `quantile_returns` are log returns at intervals.GRID. Volatility,
intervals and quantiles are null where a ticker's history is too short to know them."""


@dataclass(frozen=True)
class ServedModel:
    """A version with what is needed to forecast with it."""

    version: ModelVersion
    model: ShrunkRegressor
    quantiles: StandardQuantiles


def forecast_next(
    features: pl.DataFrame, next_session: dict[date, date], served: ServedModel | None
) -> pl.DataFrame:
    """Forecasts the session after each row's.

    Args:
        features: FEATURE_SCHEMA; any sessions that the same version serves.
        next_session: The session that follows each of them.
        served: The version; None lets the random walk forecast all rows.

    Returns:
        FORECAST_SCHEMA, sorted by session and ticker, one row per feature row. Rows without
        complete features are forecast by the random walk.
    """
    features = features.sort("session", "ticker")
    able = complete_rows(features) if served else features.clear()
    rest = features.join(able, on=["ticker", "session"], how="anti", maintain_order="left")
    parts = []
    if served and able.height:
        scaled = served.model.predict(feature_matrix(able))
        parts.append(_rows(able, scaled, served.quantiles, served.version, None))
    if rest.height:
        reason = (
            "history too short for features" if served else "no approved version trained before it"
        )
        parts.append(_rows(rest, np.zeros(rest.height), normal_quantiles(), None, reason))
    if not parts:
        return pl.DataFrame(schema=FORECAST_SCHEMA)
    return (
        pl.concat(parts)
        .with_columns(
            target_session=pl.col("as_of_session").replace_strict(
                next_session, return_dtype=pl.Date
            )
        )
        .select(pl.col(name).cast(dtype) for name, dtype in FORECAST_SCHEMA.items())
        .sort("as_of_session", "ticker")
    )


def _rows(
    features: pl.DataFrame,
    scaled: np.ndarray,
    quantiles: StandardQuantiles,
    version: ModelVersion | None,
    reason: str | None,
) -> pl.DataFrame:
    """Forecast rows from point forecasts in units of volatility, shape (n_rows,)."""
    volatility = features["volatility_1d"].to_numpy()  # null becomes NaN
    point = np.where(scaled == 0, 0.0, scaled * volatility)
    close = features["close_usd"].to_numpy()
    grid = point[:, None] + volatility[:, None] * np.asarray(quantiles.grid)
    bounds = close[:, None] * np.exp(
        point[:, None] + volatility[:, None] * np.asarray(quantiles.bounds)
    )
    names = [f"{side}_{coverage}_usd" for coverage in COVERAGES for side in ("lower", "upper")]
    unknown = pl.col("volatility_1d").is_null()
    return (
        pl.DataFrame(
            {
                "ticker": features["ticker"],
                "as_of_session": features["session"],
                "close_usd": features["close_usd"],
                "volatility_1d": features["volatility_1d"],
                "forecast_return": point,
                "forecast_close_usd": close * np.exp(point),
                **{name: bounds[:, n] for n, name in enumerate(names)},
                "quantile_returns": pl.Series(grid, dtype=pl.Array(pl.Float64, len(GRID))),
            }
        )
        .with_columns(pl.col(*names).fill_nan(None))
        .with_columns(
            quantile_returns=pl.when(~unknown).then(pl.col("quantile_returns").arr.to_list()),
            model=pl.lit(version.family if version else RANDOM_WALK),
            model_version=pl.lit(version.version if version else None, dtype=pl.Int64),
            trained_through=pl.lit(version.trained_through if version else None, dtype=pl.Date),
            is_fallback=pl.lit(version is None),
            fallback_reason=pl.lit(reason, dtype=pl.String),
        )
    )
