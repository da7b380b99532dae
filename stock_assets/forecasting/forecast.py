"""The forecast of a later session's close, with intervals, from one session's features."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from stock_assets.forecasting.features import complete_rows
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA, RECORD_COLUMNS
from stock_assets.forecasting.intervals import (
    COVERAGES,
    GRID,
    IntervalModel,
    adapt,
    newest_returns,
    normal_quantiles,
)
from stock_assets.forecasting.promotion import RANDOM_WALK, ModelVersion
from stock_assets.forecasting.volatility import young_volatility
from stock_assets.market.sessions import ExchangeCalendar

if TYPE_CHECKING:
    from stock_assets.forecasting.model import ShrunkRegressor


@dataclass(frozen=True)
class ServedModel:
    """A version with what is needed to forecast with it.

    `model`: None where the version is the random walk, which looks at nothing.
    """

    version: ModelVersion
    model: "ShrunkRegressor | None"
    intervals: IntervalModel


@dataclass(frozen=True)
class Serving:
    """Whose point forecast and whose intervals serve some sessions; None where no version's do."""

    point: ServedModel | None = None
    intervals: ServedModel | None = None


_NO_VERSION = "no approved version with these settings was trained before it"
_NO_POINT = "no version with these settings and an approved point forecast was trained before it"
_TOO_SHORT = "history too short for features"


@dataclass(frozen=True)
class _Widths:
    """The unit of some rows, shape (n,), and quantiles in it at GRID (n, 50), at BOUNDS (n, 6).

    `version`: whose they are; None for the normal law's.
    """

    version: ModelVersion | None
    volatility: np.ndarray
    grid: np.ndarray
    bounds: np.ndarray


def forecast_sessions(
    features: pl.DataFrame,
    target_of: Mapping[date, date],
    serving: Serving,
    calendar: ExchangeCalendar,
    horizon: int = 1,
) -> pl.DataFrame:
    """Forecasts the session that lies `horizon` sessions after each row's.

    Args:
        features: FEATURE_SCHEMA. The sessions to forecast from, which the same versions serve, and
            `adaptive_history` before them: what is missing there the intervals do without.
        target_of: Each session to forecast from, and the session that it forecasts.
        serving: Without a version for the point the random walk forecasts all rows; without one for
            the intervals they are the normal law's.
        calendar: Counts the sessions that the intervals follow.
        horizon: Sessions to the target.

    Returns:
        FORECAST_SCHEMA, sorted by session and ticker, one row per feature row of the sessions to
        forecast from. Rows without complete features are forecast by the random walk. None is
        issued yet.
    """
    wanted = features.filter(pl.col("session").is_in(list(target_of))).sort("session", "ticker")
    point, intervals = serving.point, serving.intervals
    able = complete_rows(wanted) if point or intervals else wanted.clear()
    rest = wanted.join(able, on=["ticker", "session"], how="anti", maintain_order="left")
    parts = []
    if able.height:
        scaled = _scaled(point, able)
        widths = (
            _version_widths(able, features, intervals, calendar)
            if intervals
            else _normal_widths(able, horizon)
        )
        reason = None if point else _NO_POINT
        parts.append(_rows(able, scaled, widths, point.version if point else None, reason))
    if rest.height:
        widths = (
            _newcomer_widths(rest, features, intervals, calendar)
            if intervals
            else _normal_widths(rest, horizon)
        )
        reason = _TOO_SHORT if point or intervals else _NO_VERSION
        parts.append(_rows(rest, np.zeros(rest.height), widths, None, reason))
    if not parts:
        return pl.DataFrame(schema=FORECAST_SCHEMA)
    return (
        pl.concat(parts)
        .with_columns(
            target_session=pl.col("as_of_session").replace_strict(target_of, return_dtype=pl.Date),
            **dict.fromkeys(RECORD_COLUMNS),
        )
        .select(pl.col(name).cast(dtype) for name, dtype in FORECAST_SCHEMA.items())
        .sort("as_of_session", "ticker")
    )


def _scaled(point: ServedModel | None, rows: pl.DataFrame) -> np.ndarray:
    """Point forecasts in units of `volatility_1d`, shape (n_rows,)."""
    if point is None or point.model is None:
        return np.zeros(rows.height)
    from stock_assets.forecasting.model import feature_matrix

    return point.model.predict(feature_matrix(rows))


def _version_widths(
    rows: pl.DataFrame, features: pl.DataFrame, served: ServedModel, calendar: ExchangeCalendar
) -> _Widths:
    """The version's law, its bounds moved by each ticker's newest returns."""
    sessions = rows["session"].unique().sort().to_list()
    tickers = rows["ticker"].unique().sort().to_list()
    intervals = served.intervals
    session_of = {session: n for n, session in enumerate(sessions)}
    ticker_of = {ticker: n for n, ticker in enumerate(tickers)}
    unit = intervals.volatility.volatility(features)
    newest = newest_returns(features, unit, sessions, tickers, calendar, intervals.horizon)
    grid, bounds = intervals.quantiles_of(tickers)
    adapted = adapt(np.broadcast_to(bounds, (len(sessions), *bounds.shape)), newest)
    at = [session_of[session] for session in rows["session"]]
    whose = [ticker_of[ticker] for ticker in rows["ticker"]]
    volatility = intervals.volatility.volatility(rows)
    return _Widths(served.version, volatility, grid[whose], adapted[at, whose])


def _newcomer_widths(
    rows: pl.DataFrame, features: pl.DataFrame, served: ServedModel, calendar: ExchangeCalendar
) -> _Widths:
    """The law of any ticker in units of the market's volatility, or of what is known of its own."""
    quantiles, shape = served.intervals.newcomers, (rows.height, 1)
    return _Widths(
        served.version,
        young_volatility(rows, features, calendar),
        np.tile(quantiles.grid, shape),
        np.tile(quantiles.bounds, shape),
    )


def _normal_widths(rows: pl.DataFrame, horizon: int) -> _Widths:
    quantiles, shape = normal_quantiles(), (rows.height, 1)
    return _Widths(
        None,
        rows["volatility_1d"].to_numpy() * math.sqrt(horizon),
        np.tile(quantiles.grid, shape),
        np.tile(quantiles.bounds, shape),
    )


def _rows(
    features: pl.DataFrame,
    scaled: np.ndarray,
    widths: _Widths,
    version: ModelVersion | None,
    reason: str | None,
) -> pl.DataFrame:
    """Forecast rows from point forecasts in units of `volatility_1d`, shape (n_rows,).

    `version`: the point's; `reason`: why there is none.
    """
    point = np.where(scaled == 0, 0.0, scaled * features["volatility_1d"].to_numpy())
    close = features["close_usd"].to_numpy()
    unit = widths.volatility[:, None]  # NaN where it is not known
    grid = point[:, None] + unit * widths.grid
    bounds = close[:, None] * np.exp(point[:, None] + unit * widths.bounds)
    names = [f"{side}_{coverage}_usd" for coverage in COVERAGES for side in ("lower", "upper")]
    known = pl.col("forecast_volatility").is_not_null()
    return (
        pl.DataFrame(
            {
                "ticker": features["ticker"],
                "as_of_session": features["session"],
                "close_usd": features["close_usd"],
                "volatility_1d": features["volatility_1d"],
                "forecast_volatility": widths.volatility,
                "forecast_return": point,
                "forecast_close_usd": close * np.exp(point),
                **{name: bounds[:, n] for n, name in enumerate(names)},
                "quantile_returns": pl.Series(grid, dtype=pl.Array(pl.Float64, len(GRID))),
            }
        )
        .with_columns(pl.col("forecast_volatility", *names).fill_nan(None))
        .with_columns(
            quantile_returns=pl.when(known).then(pl.col("quantile_returns").arr.to_list()),
            model=pl.lit(version.family if version else RANDOM_WALK),
            model_version=pl.lit(version.version if version else None, dtype=pl.Int64),
            trained_through=pl.lit(version.trained_through if version else None, dtype=pl.Date),
            intervals_version=pl.lit(
                widths.version.version if widths.version else None, dtype=pl.Int64
            ),
            is_fallback=pl.lit(version is None),
            fallback_reason=pl.lit(reason, dtype=pl.String),
        )
    )
