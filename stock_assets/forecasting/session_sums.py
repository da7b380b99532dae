"""Scores summed by session: what error bars, regimes and the worst days are made of.

Shares move together within a session, so a session is the unit of every statement about chance. The
sums of twenty years fit a page, whatever the number of forecasts. Values are added in the order of
the rows: the same to the last bit in whatever chunks they were read.
"""

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import scored_columns
from stock_assets.forecasting.intervals import COVERAGES


def session_sums(scores: pl.DataFrame) -> pl.DataFrame:
    """Sums over the scored forecasts of each session that has one.

    Args:
        scores: SCORE_SCHEMA, rows in any order.

    Returns:
        `session` ascending, `forecasts`, `squared_error`, `squared_error_random_walk`,
        `absolute_return`, `intervals` and their `interval_score_95`, and per
        coverage `judged_*` forecasts with an interval and `hits_*` of them that held the target.
    """
    scored = scored_columns(scores)
    days = scored("session").to_physical().to_numpy().astype(np.int64)
    first = int(days.min()) if len(days) else 0
    days -= first
    counts = np.bincount(days)
    there = np.flatnonzero(counts)

    def values(name: str) -> np.ndarray:
        return scored(name).cast(pl.Float64).to_numpy()  # NaN where it is null

    def sums(of: np.ndarray) -> np.ndarray:
        return np.bincount(days, weights=of, minlength=len(counts))[there]

    def both(name: str) -> tuple[np.ndarray, np.ndarray]:
        """How many of a column's values are known, and their sum."""
        of = values(name)
        known = ~np.isnan(of)
        return sums(known), sums(np.where(known, of, 0.0))

    # A random walk's error is the return itself.
    errors, returns = values("error_return"), values("error_return_random_walk")
    intervals, interval_score = both("interval_score_95")
    columns = {
        "session": pl.Series((there + first).astype(np.int32)).cast(pl.Date),
        "forecasts": counts[there],
        "squared_error": sums(errors**2),
        "squared_error_random_walk": sums(returns**2),
        "absolute_return": sums(np.abs(returns)),
        "intervals": intervals,
        "interval_score_95": interval_score,
    }
    for coverage in COVERAGES:
        columns[f"judged_{coverage}"], columns[f"hits_{coverage}"] = both(f"covered_{coverage}")
    return pl.DataFrame(columns)


def pooled_mean(sums: pl.DataFrame, totals: str, counts: str) -> float | None:
    """Of all that was summed: one column of sums over one of counts."""
    count = float(sums[counts].to_numpy().sum())
    return float(sums[totals].to_numpy().sum()) / count if count else None


def pooled_coverage(sums: pl.DataFrame) -> dict[str, float | None]:
    """Share of the targets inside, by the interval's name, over all sessions of some sums."""
    found: dict[str, float | None] = {}
    for coverage in COVERAGES:
        found[str(coverage)] = pooled_mean(sums, f"hits_{coverage}", f"judged_{coverage}")
    return found
