"""What the forecasts of one session say together: their ranks, and how their misses come in crowds.

A point forecast may be worthless in size and still sort shares: the rank information coefficient is
Spearman's correlation between the forecasts of a session and what came. Intervals that are right
one by one may all fail on the same day: who holds many shares is hit by that.
"""

import math
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import scored_columns
from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.forecasting.long_run_variance import newey_west_variance

LEAST_TICKERS = 5
"""Of a session: ranks of fewer hardly say anything."""


def rank_information(scores: pl.DataFrame, horizon: int = 1) -> dict[str, Any]:
    """Mean of the sessions' rank correlations between forecast and return, and its t.

    Args:
        scores: SCORE_SCHEMA, rows in any order.
        horizon: Sessions from a forecast's own to its target: neighbours overlap.

    Returns:
        `rank_ic`, `rank_ic_t` (Newey-West) and `rank_ic_sessions`, those with LEAST_TICKERS whose
        forecasts are not all equal. None where there is no such session, as for the random walk.
    """
    scored = scored_columns(scores)
    names = ("session", "forecast_return", "realised_return")
    daily = (
        # In one piece, so that ranks are summed alike in whatever chunks the rows were read.
        pl.DataFrame([scored(name).rechunk() for name in names])
        .drop_nulls()
        .group_by("session")
        .agg(
            tickers=pl.len(),
            ic=pl.corr("forecast_return", "realised_return", method="spearman"),
        )
        .filter((pl.col("tickers") >= LEAST_TICKERS) & pl.col("ic").is_finite())
        .sort("session")["ic"]
        .to_numpy()
    )
    n = len(daily)
    variance = newey_west_variance(daily, horizon) if n > 1 else 0.0
    mean = float(daily.mean()) if n else None
    return {
        "rank_ic": mean,
        "rank_ic_t": mean / math.sqrt(variance / n) if mean is not None and variance > 0 else None,
        "rank_ic_sessions": n,
    }


def joint_misses(sums: pl.DataFrame) -> dict[str, dict[str, float | None]]:
    """How far the share of hits moves from session to session, beside what chance alone would do.

    Args:
        sums: See `session_sums`.

    Returns:
        By the interval's name `sd_daily_coverage`, and `sd_if_independent`: what it would be if
        each forecast missed by itself. None with fewer than two sessions.
    """
    found: dict[str, dict[str, float | None]] = {}
    for coverage in COVERAGES:
        rows = sums.filter(pl.col(f"judged_{coverage}") > 0)
        hits, judged = rows[f"hits_{coverage}"].to_numpy(), rows[f"judged_{coverage}"].to_numpy()
        known = rows.height > 1
        share = hits.sum() / judged.sum() if known else math.nan
        chance = np.sqrt(np.mean(share * (1 - share) / judged)) if known else None
        found[str(coverage)] = {
            "sd_daily_coverage": float(np.std(hits / judged, ddof=1)) if known else None,
            "sd_if_independent": None if chance is None else float(chance),
        }
    return found
