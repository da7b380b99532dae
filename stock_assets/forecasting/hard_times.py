"""Coverage where intervals are most likely to fail: by regime, after gaps, in the worst weeks.

An average over years hides that an interval is wide in calm times and narrow in a crash.
"""

from operator import itemgetter
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import scored_columns
from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.forecasting.session_sums import pooled_coverage, pooled_mean

REGIMES = ("calm", "middle", "turbulent")
REGIME_SESSIONS = 22
"""Sessions before a forecast's target, a month, whose returns say which regime it was made in."""
_WORST_WEEKS, _WORST_SESSIONS = 5, 10


def coverage_by_regime(sums: pl.DataFrame, horizon: int = 1) -> dict[str, Any]:
    """Coverage in each third of the sessions by how volatile the market was before them.

    The market's level is the mean over tickers and REGIME_SESSIONS of the absolute returns that
    were known at the forecast. It is made of the scores alone, so old ones have it as well, and it
    does not depend on the volatility that the intervals themselves were made of.

    Args:
        sums: See `session_sums`; the first sessions, with no month before them, are in no regime.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        By regime `sessions`, `forecasts`, `coverage`; empty with fewer than three such sessions.
    """
    level = (sums["absolute_return"] / sums["forecasts"]).to_numpy()
    first = REGIME_SESSIONS + horizon - 1
    if len(level) < first + len(REGIMES):
        return {}
    windows = np.lib.stride_tricks.sliding_window_view(level, REGIME_SESSIONS)
    before = windows[: len(level) - first].mean(axis=1)
    limits = np.quantile(before, [1 / 3, 2 / 3])
    regime = np.searchsorted(limits, before)
    rows = sums[first:]
    return {name: _covered(rows.filter(pl.Series(regime == n))) for n, name in enumerate(REGIMES)}


def _covered(sums: pl.DataFrame) -> dict[str, Any]:
    return {
        "sessions": sums.height,
        "forecasts": int(sums["forecasts"].sum()),
        "coverage": pooled_coverage(sums),
    }


def coverage_after_gaps(scores: pl.DataFrame) -> dict[str, Any]:
    """Coverage of each ticker's first scored forecasts after sessions in which it had none.

    Args:
        scores: SCORE_SCHEMA; a session is one that any of its tickers has a scored forecast of.

    Returns:
        `forecasts` and `coverage`. A ticker's very first forecast follows no gap.
    """
    scored = scored_columns(scores)
    ticker = scored("ticker")
    if ticker.is_empty():
        return {"forecasts": 0, "coverage": {str(c): None for c in COVERAGES}}
    column = ticker.cast(pl.Enum(ticker.unique().sort())).to_physical().to_numpy()
    day = scored("session").to_physical().to_numpy().astype(np.int64)
    day -= day.min()
    row = (np.cumsum(np.bincount(day) > 0) - 1)[day]
    present = np.zeros((row.max() + 1, column.max() + 1), dtype=bool)
    present[row, column] = True
    returned = np.zeros_like(present)
    returned[1:] = present[1:] & ~present[:-1] & np.logical_or.accumulate(present)[:-1]
    after = pl.Series(returned[row, column])
    return {
        "forecasts": int(after.sum()),
        "coverage": {str(c): scored(f"covered_{c}").filter(after).mean() for c in COVERAGES},
    }


def worst_weeks(sums: pl.DataFrame) -> list[dict[str, Any]]:
    """Coverage in the calendar weeks with the largest mean squared return, the worst first.

    Returns:
        `monday`, `mean_squared_return`, `sessions`, `forecasts`, `coverage` of each.
    """
    weeks = sums.with_columns(monday=pl.col("session").dt.truncate("1w"))
    found = [
        {
            "monday": str(monday),
            "mean_squared_return": pooled_mean(own, "squared_error_random_walk", "forecasts"),
            **_covered(own),
        }
        for (monday,), own in weeks.group_by("monday", maintain_order=True)
    ]
    return sorted(found, key=itemgetter("mean_squared_return"), reverse=True)[:_WORST_WEEKS]


def worst_sessions(sums: pl.DataFrame) -> list[dict[str, Any]]:
    """The sessions in which most targets were outside the 95 % interval, the worst first.

    Returns:
        `session`, `forecasts`, `missed_95` (a share), `mean_interval_score_95`,
        `mean_squared_error`. Of equal shares the one with the larger interval score is worse.
    """
    judged = sums.filter((pl.col("judged_95") > 0) & (pl.col("intervals") > 0)).with_columns(
        missed_95=(pl.col("judged_95") - pl.col("hits_95")) / pl.col("judged_95"),
        mean_interval_score_95=pl.col("interval_score_95") / pl.col("intervals"),
        mean_squared_error=pl.col("squared_error") / pl.col("forecasts"),
    )
    worst = judged.sort("missed_95", "mean_interval_score_95", descending=True)
    named = worst.head(_WORST_SESSIONS).select(
        pl.col("session").cast(pl.String),
        "forecasts",
        "missed_95",
        "mean_interval_score_95",
        "mean_squared_error",
    )
    return named.to_dicts()
