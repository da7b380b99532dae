"""The volatility of the next sessions: a HAR model on range variances, pooled over tickers.

The log of the next session's range variance (the mean of the next ones' where a forecast spans
several), less that of the ticker's usual one, is regressed on logs of exponential means of past
range variances, the ticker's own and the market's. Target and regressors are bounded, so that no
ticker has more leverage than its share: a price that hardly moves would otherwise bend the
coefficients of all. After Corsi (2009), "A Simple Approximate Long-Memory
Model of Realized Volatility", with exponential means and a market factor as in Bollerslev, Hood,
Huss & Pedersen (2018), "Risk Everywhere: Modeling and Managing Volatility". The log makes the level
biased; the quantiles of standardised returns (see `intervals`) put it right. To it comes the second
step of `scale_step`, which looks at the returns themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl

from stock_assets.forecasting.features import (
    MARKET_VARIANCES,
    VARIANCE_SPANS,
    WINDOW,
)
from stock_assets.forecasting.scale_step import (
    LEAST_SESSIONS,
    PARTS,
    TERMS,
    ScaleStep,
    fit_scale,
    outlook_terms,
)
from stock_assets.market.sessions import ExchangeCalendar

_MARKET = MARKET_VARIANCES[-1]
REGRESSORS: tuple[str, ...] = (
    "constant",
    "log_variance_32 - market",
    *(f"volatility_ratio_{n}" for n in VARIANCE_SPANS),
    *(f"{name} - market" for name in MARKET_VARIANCES[:-1]),
    _MARKET,
    "volatility_ratio_1",
    "overnight_ratio_1",
)
"""`market` is the slowest of MARKET_VARIANCES."""
_MOST_APART = 6.0  # of a ticker's log variance from the market's: 400 times it, or a 400th
_MOST_RATIO = 2.0  # of a log volatility: seven times the usual one, or a seventh
_LEAST_DAY, _LEAST_NIGHT = 0.02, 0.002  # of the usual variance: its log has no bottom
_MARKET_WEIGHT = 5  # sessions
_LEAST, _MOST = 0.01, 100.0  # of the ticker's usual variance: a session without trading has none


@dataclass(frozen=True)
class VolatilityModel:
    """Coefficients of REGRESSORS, in this order, for the next return's log variance, and the step.

    The former say by how much it differs from that of `volatility_1d`.
    """

    coefficients: tuple[float, ...]
    scale: ScaleStep = field(default=ScaleStep())

    def volatility(self, rows: pl.DataFrame) -> np.ndarray:
        """Standard deviation of the return forecast up to a constant, shape (n_rows,).

        NaN where a regressor is not known. A row's value does not depend on the other rows, to the
        last bit: terms are added one by one, as a matrix product would add them in blocks.
        """
        regressors = _regressors(rows)
        log_volatility = self._first_step(rows, regressors)
        if self.scale.coefficients:
            log_volatility = log_volatility + self.scale.log_step(_terms(rows, regressors))
        return np.asarray(np.exp(log_volatility))

    def _first_step(self, rows: pl.DataFrame, regressors: list[np.ndarray]) -> np.ndarray:
        log_variance = 2 * np.log(rows["volatility_1d"].to_numpy())
        for coefficient, values in zip(self.coefficients, regressors, strict=True):
            log_variance = log_variance + coefficient * values
        return np.asarray(log_variance / 2)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """One that was stored before there was a second step has none.

        Raises:
            ValueError: A number is missing or not finite.
        """
        scale = stored.get("scale", {"coefficients": (), "centres": ()})
        first = tuple(map(float, stored["coefficients"]))
        step = ScaleStep(
            tuple(map(float, scale["coefficients"])), tuple(map(float, scale["centres"]))
        )
        numbers = (*first, *step.coefficients, *step.centres)
        terms = len(REGRESSORS) - 1 + len(TERMS)
        of_step = (len(step.coefficients), len(step.centres))
        is_whole = len(first) == len(REGRESSORS) and of_step in {(0, 0), (terms, terms)}
        if not is_whole or not np.isfinite(numbers).all():
            raise ValueError("coefficients of the volatility are missing or not finite")
        return cls(first, step)


def _terms(rows: pl.DataFrame, regressors: list[np.ndarray]) -> list[np.ndarray]:
    """What the second step looks at: all but the constant of the first, and the outlook."""
    return [*regressors[1:], *outlook_terms(rows)]


def _regressors(rows: pl.DataFrame) -> list[np.ndarray]:
    """Values of REGRESSORS, each of shape (n_rows,); NaN where one is not known."""
    log_variance = 2 * np.log(rows["volatility_1d"].to_numpy())
    market = rows[_MARKET].to_numpy()
    # The last session's variance in units of the usual one, all of it and what came overnight.
    night = rows["overnight_return"].to_numpy() ** 2
    spread, body = rows["range_ratio"].to_numpy(), rows["intraday_return"].to_numpy()
    day = night + np.maximum(0.5 * spread**2 - (2 * np.log(2) - 1) * body**2, 0)
    ratios = (rows[f"volatility_ratio_{n}"].to_numpy() for n in VARIANCE_SPANS)
    return [
        np.ones(rows.height),
        np.clip(log_variance - market, -_MOST_APART, _MOST_APART),
        *(np.clip(ratio, -_MOST_RATIO, _MOST_RATIO) for ratio in ratios),
        *(rows[name].to_numpy() - market for name in MARKET_VARIANCES[:-1]),
        market,
        np.clip(0.5 * np.log(np.maximum(day, _LEAST_DAY)), -_MOST_RATIO, _MOST_RATIO),
        np.clip(0.5 * np.log(np.maximum(night, _LEAST_NIGHT)), -_MOST_RATIO, _MOST_RATIO),
    ]


def fit_volatility(rows: pl.DataFrame, horizon: int = 1) -> tuple[VolatilityModel, np.ndarray]:
    """Ordinary least squares over all rows, then the second step.

    Args:
        rows: Labelled rows; those without `range_variance_next` or a regressor are left out, and
            those that are not typical: few as they are, they lie so far out that they would turn
            the plane for all others.
        horizon: Sessions that `return_next` spans.

    Returns:
        The model, and what it forecasts for the rows, shape (n_rows,): each with a second step
        fitted on the other thirds of the sessions, as a forecast's own return is never among those
        learnt from. Returns in that unit are as large as those to come.
    """
    variance = rows["volatility_1d"].to_numpy() ** 2
    ratio = np.clip(rows["range_variance_next"].to_numpy() / variance, _LEAST, _MOST)
    target = np.log(ratio)
    regressors = _regressors(rows)
    design = np.column_stack(regressors)
    typical = are_typical(rows)
    known = np.isfinite(target) & np.isfinite(design).all(axis=1) & typical
    # One ticker is its own market: least squares of smallest norm does not mind.
    coefficients, *_ = np.linalg.lstsq(design[known], target[known], rcond=None)
    first = VolatilityModel(tuple(float(c) for c in coefficients))
    unit = first.volatility(rows)
    sessions = rows["session"].rank("dense").cast(pl.Int64).to_numpy() - 1
    n_sessions = int(sessions.max(initial=-1)) + 1
    if n_sessions < LEAST_SESSIONS:
        return first, unit
    terms = _terms(rows, regressors)
    parts = sessions * PARTS // n_sessions
    returns = rows["return_next"].to_numpy()
    step, without = fit_scale(terms, returns / unit, typical, parts, horizon)
    for part, other in enumerate(without):
        at = parts == part
        unit[at] *= np.exp(other.log_step([term[at] for term in terms]))
    return VolatilityModel(first.coefficients, step), unit


def are_typical(rows: pl.DataFrame) -> np.ndarray:
    """Whether a row's ticker moves as the market's do, shape (n_rows,); False where not known.

    One that moves twenty times as much or a twentieth (a price that stands still and yet trades, a
    wild one) is forecast like the others, and teaches nothing about them.
    """
    apart = 2 * np.log(rows["volatility_1d"].to_numpy()) - rows[_MARKET].to_numpy()
    return np.asarray(np.abs(apart) < _MOST_APART)


def market_volatility(rows: pl.DataFrame) -> np.ndarray:
    """The volatility of the session's typical ticker, shape (n_rows,); NaN where none is known.

    For a ticker without a history of its own.
    """
    return np.asarray(np.exp(rows[_MARKET].to_numpy() / 2))


def young_volatility(
    rows: pl.DataFrame, features: pl.DataFrame, calendar: ExchangeCalendar
) -> np.ndarray:
    """The volatility of tickers with too few bars for features, shape (n_rows,).

    The mean of a ticker's own range variances of the last WINDOW sessions and of the market's,
    which counts as _MARKET_WEIGHT of them: a share just listed moves more than the market does.

    Args:
        rows: FEATURE_SCHEMA, few.
        features: The same with the sessions before them.
        calendar: Counts sessions, those without a row too.
    """
    days = calendar.ordinals(features["session"].unique().to_list())
    known = features.drop_nulls("range_variance_1d").filter(
        pl.col("ticker").is_in(rows["ticker"].unique().to_list())
    )
    own: dict[str, list[tuple[int, float]]] = {}
    for ticker, session, variance in known.select("ticker", "session", "range_variance_1d").rows():
        own.setdefault(ticker, []).append((days[session], variance))
    found = []
    keys = rows.select("ticker", "session").rows()
    for (ticker, session), market in zip(keys, market_volatility(rows), strict=True):
        now = days[session]
        # Sorted and summed one by one: the same to the last bit whatever else is in `features`.
        seen = [v for day, v in sorted(own.get(ticker, ())) if now - WINDOW < day <= now]
        variance = (sum(seen) + _MARKET_WEIGHT * market**2) / (len(seen) + _MARKET_WEIGHT)
        found.append(variance**0.5)
    return np.asarray(found, dtype=float)
