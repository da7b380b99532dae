"""What the gate judges intervals by: a law's CRPS and its 95 % interval score, session by session.

The law is the version's own around no change: point and intervals are judged apart, and the
adaptation of served bounds would hide widths that are wrong from the start. Both losses are in
units of the row's `volatility_1d` and of what the ticker's returns usually are in it, so that
tickers weigh alike. CRPS judges the whole law and
hardly sees its tails: with all beyond the 80 % bounds cut off it rises by 3 %, the 95 % interval
score by 70 %. Both after Gneiting & Raftery (2007), "Strictly Proper Scoring Rules".
"""

import math

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import pinball_crps
from stock_assets.forecasting.intervals import BOUNDS, IntervalModel, bound_levels, normal_quantiles
from stock_assets.forecasting.splits import ticker_weights

NORMAL_LAW = "normal_law"
"""What serves without a version: normal, as wide as `volatility_1d` says."""
CRPS, INTERVAL_SCORE = "crps", "interval_score_95"
MOST_UNITS = 6.0
"""A return beyond so many units of volatility (of the whole horizon) counts as one of so many: one
crash would decide all of a test set's sessions."""
_LOWER, _UPPER = (BOUNDS.index(level) for level in bound_levels(95))
_FINE = 40.0  # per unit outside: 2 / (1 - 0.95)


def daily_interval_losses(
    rows: pl.DataFrame, intervals: IntervalModel | None, horizon: int = 1
) -> pl.DataFrame:
    """Mean losses over tickers, one row per session: `session`, `crps`, `interval_score_95`.

    Args:
        rows: Labelled rows; losses are compared on the same ones only, as tickers weigh by them.
        intervals: Whose law; None: NORMAL_LAW.
        horizon: Sessions that a return spans.

    Returns:
        Sorted by session. Rows for which the law has no width are left out.
    """
    own = rows["volatility_1d"].to_numpy()
    if intervals is None:
        plain = normal_quantiles()
        unit = np.full(rows.height, math.sqrt(horizon))
        grid, bounds = np.array([plain.grid]), np.array([plain.bounds])
    else:
        unit = intervals.volatility.volatility(rows) / own
        grid, bounds = intervals.quantiles_of(rows["ticker"].to_list())
    most = MOST_UNITS * math.sqrt(horizon)
    realised = np.clip(rows["return_next"].to_numpy() / own, -most, most)
    bounds = unit[:, None] * bounds
    lower, upper = bounds[:, _LOWER], bounds[:, _UPPER]
    weight = np.sqrt(ticker_weights(rows).to_numpy())  # of an error, not of its square
    beyond = np.clip(lower - realised, 0, None) + np.clip(realised - upper, 0, None)
    return (
        rows.select(
            "session",
            pl.Series(CRPS, weight * pinball_crps(unit[:, None] * grid, realised)),
            pl.Series(INTERVAL_SCORE, weight * (upper - lower + _FINE * beyond)),
        )
        .filter(pl.col(CRPS).is_finite())
        .group_by("session")
        .agg(pl.col(CRPS, INTERVAL_SCORE).mean())
        .sort("session")
    )


def beside_the_normal_law(
    rows: pl.DataFrame, intervals: IntervalModel, horizon: int = 1
) -> pl.DataFrame:
    """A law's losses with NORMAL_LAW's of the same sessions, as `crps_normal_law` and the like."""
    plain = daily_interval_losses(rows, None, horizon)
    return daily_interval_losses(rows, intervals, horizon).join(
        plain, on="session", suffix=f"_{NORMAL_LAW}", maintain_order="left"
    )
