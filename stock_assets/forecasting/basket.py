"""An interval for all tickers together: a basket of equal weights, bought at one close and held.

Intervals of single shares say nothing of it: shares move together, and how closely is nowhere in
them. So the basket has a law of its own, of its own past returns in units of the mean volatility of
its tickers, and its bounds follow the newest of them as those of the tickers do. A forecast as of a
session is made of the sessions up to it alone, a fixed number of them: one session and ten years
agree to the last bit.
"""

from datetime import date
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.intervals import (
    ADAPTIVE_SESSIONS,
    BOUNDS,
    COVERAGES,
    adapt,
    empirical_quantiles,
)

LAW_SESSIONS = 500
"""Past sessions whose basket returns make the law."""
LEAST_RETURNS = 63
"""Known returns among them without which there is no forecast."""
_NAMES = tuple(f"{side}_{coverage}" for coverage in COVERAGES for side in ("lower", "upper"))


def basket_returns(rows: pl.DataFrame) -> pl.DataFrame:
    """The basket's return in each session, and the unit of the next.

    Args:
        rows: `ticker, session, return_1d, volatility_1d` of every session, in any order.

    Returns:
        `session` ascending; `basket_return`, the mean of the simple returns of the tickers that had
        a row with a volatility in the session before; `unit`, the mean volatility of the session's
        tickers. NaN where there is no such ticker.
    """
    sessions, tickers = rows["session"].unique().sort(), rows["ticker"].unique().sort()
    place = pl.Series(range(len(sessions)), dtype=pl.Int64)
    row = rows["ticker"].cast(pl.Enum(tickers)).to_physical().to_numpy().astype(np.int64)
    column = (
        rows["session"]
        .replace_strict(sessions, place, return_dtype=pl.Int64)
        .to_numpy()
        .astype(np.int64)
    )

    def grid(name: str) -> np.ndarray:
        values = np.full((len(tickers), len(sessions)), np.nan)
        values[row, column] = rows[name].to_numpy()
        return values

    volatility, simple = grid("volatility_1d"), np.expm1(grid("return_1d"))
    # Who is bought at the close before and has a return.
    simple[:, 1:][np.isnan(volatility[:, :-1])] = np.nan
    simple[:, :1] = np.nan
    return pl.DataFrame(
        {
            "session": sessions,
            "basket_return": _mean_over_tickers(simple),
            "unit": _mean_over_tickers(volatility),
        }
    )


def _mean_over_tickers(values: np.ndarray) -> np.ndarray:
    """Of the known values, shape (n_sessions,), added ticker by ticker.

    So a ticker that is known in other sessions only, and adds a zero here, changes no bit.
    """
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(values).sum(axis=0) / known.sum(axis=0))


def basket_forecasts(returns: pl.DataFrame, sessions: list[date]) -> pl.DataFrame:
    """Intervals of the basket's return in the session after each of some.

    Args:
        returns: See `basket_returns`; LAW_SESSIONS before the first of `sessions` where there are.
        sessions: To forecast from; those that are not in `returns` are left out.

    Returns:
        `as_of_session` ascending, `target_session` and `realised_return` (null where it is not over
        yet), `lower_*` and `upper_*` per coverage, in simple return. No row where fewer than
        LEAST_RETURNS are known.
    """
    days, unit = returns["session"].to_list(), returns["unit"].to_numpy()
    realised = returns["basket_return"].to_numpy()
    padding = np.full(LAW_SESSIONS, np.nan)
    scaled = np.concatenate([padding, [np.nan][: len(days)], realised[1:] / unit[:-1]])
    wanted = set(sessions)
    laws: list[tuple[float, ...]] = []
    newest: list[np.ndarray] = []
    at: list[int] = []
    for n, day in enumerate(days):
        window = scaled[n + 1 : n + 1 + LAW_SESSIONS]
        known = window[~np.isnan(window)]
        if day in wanted and len(known) >= LEAST_RETURNS and np.isfinite(unit[n]):
            laws.append(empirical_quantiles(known).bounds)
            newest.append(window[-ADAPTIVE_SESSIONS:])
            at.append(n)
    followed = adapt(
        np.array(laws).reshape(-1, len(BOUNDS)),
        np.array(newest).reshape(-1, ADAPTIVE_SESSIONS).T,
    )
    bounds = followed * unit[at][:, None]
    following = returns.select(
        pl.col("session").alias("as_of_session"),
        target_session=pl.col("session").shift(-1),
        realised_return=pl.col("basket_return").shift(-1).fill_nan(None),
    )
    return following[at].with_columns(
        pl.Series(name, bounds[:, n]) for n, name in enumerate(_NAMES)
    )


def summarise_basket(forecasts: pl.DataFrame) -> dict[str, Any]:
    """How the basket's intervals did, and the newest.

    Args:
        forecasts: See `basket_forecasts`.

    Returns:
        `sessions` that are scored, `coverage`, mean `interval_score_95`; `next` has `as_of_session`
        and the bounds of the newest forecast, whether or not its target is over. All in simple
        return; None where there is no forecast.
    """
    scored = forecasts.drop_nulls("realised_return")
    realised, lower, upper = (pl.col(n) for n in ("realised_return", "lower_95", "upper_95"))
    beyond = (lower - realised).clip(lower_bound=0) + (realised - upper).clip(lower_bound=0)
    # Width and forty times what lies beyond it: 2 / (1 - 0.95).
    score = scored.select((upper - lower + 40 * beyond).mean()).item()
    newest = forecasts.tail(1).select(pl.col("as_of_session").cast(pl.String), *_NAMES).to_dicts()
    return {
        "sessions": scored.height,
        "coverage": {
            str(c): scored.select(realised.is_between(f"lower_{c}", f"upper_{c}").mean()).item()
            for c in COVERAGES
        },
        "interval_score_95": score,
        "next": newest[0] if newest else None,
    }
