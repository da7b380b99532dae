"""Prices whose law is known: a random walk with stochastic volatility and jumps, and an optional
small signal. What a model claims about them can be held against the truth.

Log variance of a ticker is the sum of a common and an own AR(1); overnight returns carry a part of
the session's variance, the rest is a Brownian path of a few dozen steps from which open, high, low
and close are read. The signal is a pull against the last session's return, in units of volatility.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.sessions import ExchangeCalendar


@dataclass(frozen=True)
class Law:
    """How the prices move; the defaults look like large shares.

    Args:
        volatility: Median daily standard deviation of the log return.
        spread: Standard deviation over tickers of the level of log variance.
        common, own: Standard deviations of the stationary common and own part of log variance.
        common_memory, own_memory: Their AR(1) coefficients per session.
        overnight_share: Part of a session's variance that the overnight return carries.
        jumps: Chance of a jump per session and ticker; half of them are overnight.
        jump_size: Standard deviation of a jump in units of the session's volatility.
        signal: Mean of the next return per unit of minus the last one, both in units of volatility.
        market_share: Part of a session's variance, jumps aside, that all tickers have in common.
    """

    volatility: float = 0.015
    spread: float = 0.5
    common: float = 0.6
    own: float = 0.5
    common_memory: float = 0.98
    own_memory: float = 0.95
    overnight_share: float = 0.25
    jumps: float = 0.02
    jump_size: float = 3.0
    signal: float = 0.0
    market_share: float = 0.0


def simulated_bars(
    calendar: ExchangeCalendar,
    first_session: str,
    n_sessions: int,
    n_tickers: int,
    seed: int,
    law: Law | None = None,
    steps: int = 48,
) -> pl.DataFrame:
    """Bars of BAR_SCHEMA, sorted by ticker and session; no dividend, no split."""
    law = law or Law()
    rng = np.random.default_rng(seed)
    first = pl.Series([first_session]).str.to_date().item()
    sessions = [first, *(calendar.offset(first, n) for n in range(1, n_sessions))]
    shape = (n_sessions, n_tickers)
    level = 2 * np.log(law.volatility) + law.spread * rng.standard_normal(n_tickers)
    common = _stationary(rng, (n_sessions, 1), law.common_memory) * law.common
    own = _stationary(rng, shape, law.own_memory) * law.own
    volatility = np.exp((level + common + own) / 2)

    night = np.sqrt(law.overnight_share) * _normal(rng, shape, law.market_share)
    jump = (rng.random(shape) < law.jumps) * law.jump_size * rng.standard_normal(shape)
    at_night = rng.random(shape) < 0.5
    night += np.where(at_night, jump, 0)
    path = np.zeros((n_sessions, n_tickers, steps + 1), dtype=np.float32)
    noise = _normal(rng, (n_sessions, n_tickers, steps), law.market_share, np.float32)
    noise *= np.sqrt((1 - law.overnight_share) / steps)
    jump_step = rng.integers(0, steps, shape)
    rows, columns = np.nonzero(~at_night & (jump != 0))
    noise[rows, columns, jump_step[rows, columns]] += jump[rows, columns]
    np.cumsum(noise, axis=2, out=path[:, :, 1:])

    drift = np.zeros(shape)
    for t in range(1, n_sessions) if law.signal else ():
        last = drift[t - 1] + night[t - 1] + path[t - 1, :, -1]
        drift[t] = -law.signal * last
    opening = (drift + night) * volatility
    closes = opening + path[:, :, -1] * volatility
    before = np.vstack([np.zeros((1, n_tickers)), np.cumsum(closes, axis=0)[:-1]]) + np.log(50)

    def price(offset: np.ndarray) -> np.ndarray:
        return np.exp(before + opening + offset * volatility).T.ravel()

    tickers = [f"T{n:03d}" for n in range(n_tickers)]
    return pl.DataFrame(
        {
            "ticker": np.repeat(tickers, n_sessions),
            "session": sessions * n_tickers,
            "open": price(np.zeros(shape)),
            "high": price(path.max(axis=2)),
            "low": price(path.min(axis=2)),
            "close": price(path[:, :, -1]),
            "volume": rng.lognormal(14, 0.4, shape).T.ravel(),
            "dividend": 0.0,
            "split_ratio": 1.0,
        },
        schema=BAR_SCHEMA,
    )


def _normal(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    shared: float,
    dtype: type[np.floating] = np.float64,
) -> np.ndarray:
    """Of variance one, shape (n_sessions, n_tickers, ...); tickers have the part `shared` alike."""
    values = rng.standard_normal(shape, dtype=dtype)
    if shared:
        market = rng.standard_normal((shape[0], 1, *shape[2:]), dtype=dtype)
        values *= np.sqrt(1 - shared)
        values += np.sqrt(shared) * market
    return values


def _stationary(rng: np.random.Generator, shape: tuple[int, int], memory: float) -> np.ndarray:
    """AR(1) paths of variance one, shape (n_sessions, n_paths)."""
    values = rng.standard_normal(shape)
    values[1:] *= np.sqrt(1 - memory**2)
    for t in range(1, len(values)):
        values[t] += memory * values[t - 1]
    return values
