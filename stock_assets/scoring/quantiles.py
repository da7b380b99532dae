"""Quantiles of stored forecasts at whatever levels others have chosen, and the random walk's."""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import polars as pl

from stock_assets.forecasting.intervals import COVERAGES, GRID
from stock_assets.scoring.forecast_files import bound_level

SERVED = {
    bound_level(side, coverage): f"{name}_{coverage}_usd"
    for coverage in COVERAGES
    for side, name in (("lo", "lower"), ("hi", "upper"))
}
"""Columns of FORECAST_SCHEMA that hold a bound, by its level."""


def can_give(level: float) -> bool:
    """Whether a stored forecast has a quantile there: beyond its grid none is known."""
    return level in SERVED or GRID[0] <= level <= GRID[-1]


def own_quantiles(forecasts: pl.DataFrame, levels: Sequence[float]) -> np.ndarray:
    """Log returns at some levels, shape (n_forecasts, n_levels).

    At the levels of the intervals that are served it is their bounds, which follow each ticker's
    newest returns; elsewhere the grid, linear between its levels. Where the whole grid is asked
    for, as for the CRPS, it is the grid at all of its levels. Where bounds and grid cross they are
    sorted, which no loss at any level rises by on average (Chernozhukov, Fernández-Val & Galichon
    2010, "Quantile and Probability Curves Without Crossing").

    Args:
        forecasts: FORECAST_SCHEMA with intervals.
        levels: Ascending; `can_give` holds for each.
    """
    grid = forecasts["quantile_returns"].list.to_array(len(GRID)).to_numpy()
    of_grid = set(GRID) if set(GRID) <= set(levels) else set()
    columns = []
    for level in levels:
        if level in SERVED and level not in of_grid:
            bound = forecasts.select((pl.col(SERVED[level]) / pl.col("close_usd")).log())
            columns.append(bound.to_series().to_numpy())
        else:
            at = float(np.interp(level, GRID, range(len(GRID))))
            below = int(at)
            part = at - below
            above = grid[:, min(below + 1, len(GRID) - 1)]
            columns.append(
                grid[:, below] if not part else (1 - part) * grid[:, below] + part * above
            )
    return np.sort(np.column_stack(columns), axis=1)


def random_walk_quantiles(
    forecasts: pl.DataFrame, levels: Sequence[float], horizon: int = 1
) -> np.ndarray:
    """The same of no change with a normal law as wide as `volatility_1d` says.

    It is what serves where no version does.
    """
    width = forecasts["volatility_1d"].to_numpy() * math.sqrt(horizon)
    normal = NormalDist()
    return np.outer(width, [normal.inv_cdf(level) for level in levels])
