"""By how much a model's out-of-fold forecasts are to be believed."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stock_assets.forecasting.long_run_variance import bartlett_sum

LEVEL = 0.05
"""Chance to believe noise. On real daily returns the slope of most families is within noise of
zero, and half-believed noise costs more than it ever brought."""


def confidence_z(candidates: int) -> float:
    """Standard errors below the estimate: one-sided LEVEL, shared by the candidates.

    The best of eight tries of noise looks better than noise. Dunn (1961), "Multiple Comparisons
    Among Means": each may err with an eighth of LEVEL.
    """
    return NormalDist().inv_cdf(1 - LEVEL / candidates)


@dataclass(frozen=True)
class Slope:
    """Of truth on forecast, through the origin. `used` is its lower confidence bound in 0..1."""

    estimate: float
    standard_error: float
    used: float


def cautious_slope(
    forecast: np.ndarray,
    truth: np.ndarray,
    sessions: np.ndarray,
    weights: np.ndarray,
    *,
    candidates: int = 1,
    horizon: int = 1,
) -> Slope:
    """The slope that the data still support when doubted.

    Args:
        forecast: Out-of-fold forecasts, shape (n_rows,).
        truth: What was realised, in the same unit.
        sessions: Session of each row, ascending: shares move together within one, so rows of a
            session count as one observation (clustered standard error, Liang & Zeger 1986).
        weights: Of each row, see `splits.ticker_weights`.
        candidates: Sets of parameters of which the forecasts' were chosen as the best.
        horizon: Sessions that a label spans: neighbours overlap, so their products count too
            (Driscoll & Kraay 1998).
    """
    starts = np.flatnonzero(np.r_[True, sessions[1:] != sessions[:-1]])
    cross = np.add.reduceat(weights * forecast * truth, starts)
    square = np.add.reduceat(weights * forecast**2, starts)
    if not square.sum() > 0:
        return Slope(0.0, 0.0, 0.0)
    estimate = cross.sum() / square.sum()
    squared_error = bartlett_sum(cross - estimate * square, 2 * (horizon - 1))
    error = np.sqrt(max(squared_error, 0.0)) / square.sum()
    used = min(max(estimate - confidence_z(candidates) * error, 0.0), 1.0)
    return Slope(float(estimate), float(error), float(used))
