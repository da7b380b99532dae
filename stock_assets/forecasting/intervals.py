"""How wide a forecast is: quantiles of standardised returns, scaled by the forecast volatility.

A version's quantiles are those of its own data's returns over the volatility that its model would
have forecast: two fifths those of all tickers, the rest its own (quantile functions are averaged:
Vincentisation, Ratcliff 1979). Without a version they are the normal law's.

The bounds of the intervals, and only these, then follow each ticker's newest returns, see `adapt`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from statistics import NormalDist
from typing import Any, Self

import numpy as np
import polars as pl

from stock_assets.forecasting.volatility import (
    VolatilityModel,
    are_typical,
    fit_volatility,
    market_volatility,
)
from stock_assets.market.sessions import ExchangeCalendar

COVERAGES = (50, 80, 95)
"""Per cent of the targets that an interval is meant to hold."""

GRID = tuple((n + 0.5) / 50 for n in range(50))
"""Levels of the stored quantiles: midpoints of equal steps, so that a mean integrates them."""


def bound_levels(coverage: float) -> tuple[float, float]:
    """Levels of the lower and upper bound of a central interval: 95 -> (0.025, 0.975)."""
    tail = (1 - coverage / 100) / 2
    return tail, 1 - tail


BOUNDS = tuple(level for coverage in COVERAGES for level in bound_levels(coverage))

ADAPTIVE_SESSIONS = 250
"""Standardised returns that the bounds of a forecast follow."""
STEPS = tuple({50: 0.015, 80: 0.03, 95: 0.075}[coverage] for coverage in COVERAGES for _ in (0, 1))
"""Learning rate per bound in units of volatility: the outer the bound, the flatter the density
there, so the smaller the harm of a step."""

OWN_RETURNS = 250
"""Standardised returns that a ticker needs for quantiles of its own."""
_OWN_WEIGHT = 0.6
_DECIMALS = 4  # of a quantile in units of volatility: 500 tickers make a file of 250 kB


@dataclass(frozen=True)
class StandardQuantiles:
    """Quantiles of the next return in units of volatility, around the point forecast.

    Args:
        law: "empirical" or "normal".
        grid: Values at GRID, shape (50,).
        bounds: Values at BOUNDS, shape (6,): lower and upper bound per coverage.
    """

    law: str
    grid: tuple[float, ...]
    bounds: tuple[float, ...]

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The quantiles that `asdict` described.

        Raises:
            ValueError: They are too few, not finite, or do not ascend with their levels.
        """
        grid, bounds = tuple(map(float, stored["grid"])), tuple(map(float, stored["bounds"]))
        ascending = [list(grid), [bound for _, bound in sorted(zip(BOUNDS, bounds, strict=True))]]
        if len(grid) != len(GRID) or not np.isfinite([*grid, *bounds]).all():
            raise ValueError("quantiles are missing or not finite")
        if any(values != sorted(values) for values in ascending):
            raise ValueError("quantiles do not ascend")
        return cls(stored["law"], grid, bounds)


def normal_quantiles() -> StandardQuantiles:
    normal = NormalDist()
    return StandardQuantiles(
        "normal",
        tuple(normal.inv_cdf(level) for level in GRID),
        tuple(normal.inv_cdf(level) for level in BOUNDS),
    )


def empirical_quantiles(residuals: Sequence[float] | np.ndarray) -> StandardQuantiles:
    """Quantiles of `residuals`: (return - forecast) / volatility, shape (n,), without NaN."""
    values = np.asarray(residuals, dtype=float)

    def at(levels: tuple[float, ...]) -> tuple[float, ...]:
        found = np.quantile(values, levels, method="median_unbiased")
        return tuple(round(float(q), _DECIMALS) for q in found)

    return StandardQuantiles("empirical", at(GRID), at(BOUNDS))


def _mean(own: StandardQuantiles, pooled: StandardQuantiles) -> StandardQuantiles:
    def between(a: tuple[float, ...], b: tuple[float, ...]) -> tuple[float, ...]:
        pairs = zip(a, b, strict=True)
        return tuple(round(_OWN_WEIGHT * x + (1 - _OWN_WEIGHT) * y, _DECIMALS) for x, y in pairs)

    return StandardQuantiles(
        "empirical", between(own.grid, pooled.grid), between(own.bounds, pooled.bounds)
    )


@dataclass(frozen=True)
class IntervalModel:
    """What a version knows about widths; plain numbers, stored as JSON.

    Args:
        horizon: Sessions that the returns span.
        volatility: Forecasts the unit of `pooled` and `by_ticker`.
        pooled: For tickers without an entry in `by_ticker`.
        newcomers: In units of the market's volatility, for tickers without features.
        by_ticker: Already averaged with `pooled`.
    """

    horizon: int
    volatility: VolatilityModel
    pooled: StandardQuantiles
    newcomers: StandardQuantiles
    by_ticker: Mapping[str, StandardQuantiles]

    def quantiles_of(self, tickers: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Grid and bounds per ticker, shapes (n, 50) and (n, 6)."""
        each = [self.by_ticker.get(ticker, self.pooled) for ticker in tickers]
        grids, bounds = [q.grid for q in each], [q.bounds for q in each]
        return np.array(grids).reshape(-1, len(GRID)), np.array(bounds).reshape(-1, len(BOUNDS))

    def as_values(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The model that `as_values` described.

        Raises:
            ValueError: A number can't be right: then none of its forecasts would be.
            KeyError, TypeError: Something is missing, or is no number.
        """
        return cls(
            horizon=int(stored["horizon"]),
            volatility=VolatilityModel.of(stored["volatility"]),
            pooled=StandardQuantiles.of(stored["pooled"]),
            newcomers=StandardQuantiles.of(stored["newcomers"]),
            by_ticker={t: StandardQuantiles.of(q) for t, q in stored["by_ticker"].items()},
        )


def fit_intervals(rows: pl.DataFrame, horizon: int = 1) -> IntervalModel:
    """Volatility model and quantiles of a month's labelled rows, train and test set together.

    The returns themselves are standardised, not the residuals of a point model that was fitted to
    them: those would be too narrow, and a forecast moves a return's mean by next to nothing.
    """
    model, unit = fit_volatility(rows, horizon)
    returns = rows["return_next"].to_numpy()
    typical = are_typical(rows)
    if not typical.any():
        typical = np.ones(rows.height, dtype=bool)
    scaled = rows.select("ticker", z=pl.Series(returns / unit), typical=pl.Series(typical)).filter(
        pl.col("z").is_finite()
    )
    pooled = empirical_quantiles(scaled.filter("typical")["z"].to_numpy())
    in_market_units = (returns / market_volatility(rows))[typical]
    return IntervalModel(
        horizon=horizon,
        volatility=model,
        pooled=pooled,
        newcomers=empirical_quantiles(in_market_units[np.isfinite(in_market_units)]),
        by_ticker={
            str(ticker): _mean(empirical_quantiles(own["z"].to_numpy()), pooled)
            for (ticker,), own in sorted(scaled.group_by("ticker"), key=lambda pair: pair[0])
            if own.height >= OWN_RETURNS
        },
    )


def adapt(bounds: np.ndarray, newest: np.ndarray) -> np.ndarray:
    """Bounds that followed the newest returns: the pinball loss's descent, step by step.

    After each return a bound moves out by step * (1 - level) if the return fell beyond it, and in
    by step * level if not, so that its share of hits is pulled to its level whatever the law. After
    Gibbs & Candès (2021), "Adaptive Conformal Inference Under Distribution Shift", and
    Angelopoulos, Candès & Tibshirani (2023), "Conformal PID Control for Time Series Prediction".

    Args:
        bounds: A version's values at BOUNDS, shape (..., 6).
        newest: Standardised returns known at the forecast, oldest first, shape (n, ...), NaN where
            there was none.

    Returns:
        The same shape as `bounds`, nested: no bound of 95 % lies inside one of 80 %. It depends on
        nothing but the arguments: a daily run and a backfill agree, and there is no state to keep.
    """
    levels, steps = np.asarray(BOUNDS), np.asarray(STEPS)
    followed = np.array(bounds, dtype=float)
    for returns in newest:
        z = returns[..., None]
        followed = followed + np.where(np.isnan(z), 0.0, steps * (levels - (z <= followed)))
    ascending = np.argsort(BOUNDS)
    followed[..., ascending] = np.sort(followed, axis=-1)
    return followed


def target_words(horizon: int) -> str:
    """What is forecast, for a person."""
    return "the next session" if horizon == 1 else f"the next {horizon} sessions together"


def adaptive_history(horizon: int) -> int:
    """Sessions before a forecast's own whose features its bounds follow."""
    return ADAPTIVE_SESSIONS + horizon - 1


def newest_returns(
    rows: pl.DataFrame,
    volatility: np.ndarray,
    sessions: Sequence[date],
    tickers: Sequence[str],
    calendar: ExchangeCalendar,
    horizon: int = 1,
) -> np.ndarray:
    """Each ticker's last standardised returns known at each session.

    Args:
        rows: FEATURE_SCHEMA, of `adaptive_history` sessions before the first of `sessions` where
            they exist; a session may have no row.
        volatility: What the version forecasts from each row, shape (n_rows,).
        sessions: From which forecasts are made, ascending.
        tickers: Of the forecasts.
        calendar: Counts sessions, those without a row too.
        horizon: Sessions that a return spans; neighbours overlap.

    Returns:
        Shape (ADAPTIVE_SESSIONS, n_sessions, n_tickers), oldest first; NaN where a ticker had no
        bar in one of the sessions that a return spans, or in the one from which it starts.
    """
    ordinals = calendar.ordinals([*rows["session"].unique().to_list(), *sessions])
    oldest, newest = min(ordinals.values()), max(ordinals.values())
    # Rows of NaN before the first session: a window may begin before the history does.
    row_of = {day: n - oldest + ADAPTIVE_SESSIONS for day, n in ordinals.items()}
    column_of = {ticker: n for n, ticker in enumerate(tickers)}
    wanted = rows["ticker"].is_in(list(tickers)).to_numpy()
    chosen = rows.filter(pl.Series(wanted))
    at = np.array([row_of[day] for day in chosen["session"]], dtype=int)
    column = [column_of[ticker] for ticker in chosen["ticker"]]
    shape = (newest - oldest + 1 + ADAPTIVE_SESSIONS, len(tickers))
    realised, forecast = np.full(shape, np.nan), np.full(shape, np.nan)
    realised[at, column] = chosen["return_1d"].to_numpy()
    forecast[at, column] = volatility[wanted]
    scaled = np.full(shape, np.nan)
    spanned = realised.copy()
    for earlier in range(1, horizon):
        spanned[earlier:] += realised[:-earlier]
    scaled[horizon:] = spanned[horizon:] / forecast[:-horizon]
    first = np.array([row_of[day] for day in sessions], dtype=int)
    windows = first[None, :] + np.arange(1 - ADAPTIVE_SESSIONS, 1)[:, None]
    return np.asarray(scaled[windows])
