"""How wide a forecast is: quantiles of standardised returns, scaled by a session's volatility.

The quantiles are those that the labels of the model's own data had (their unit is the volatility
known at each session's close), or the normal law's where there is no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

COVERAGES = (50, 80, 95)
"""Per cent of the targets that an interval is meant to hold."""

GRID = tuple((n + 0.5) / 50 for n in range(50))
"""Levels of the stored quantiles: midpoints of equal steps, so that a mean integrates them."""


def bound_levels(coverage: int) -> tuple[float, float]:
    """Levels of the lower and upper bound of a central interval: 95 -> (0.025, 0.975)."""
    tail = (1 - coverage / 100) / 2
    return tail, 1 - tail


BOUNDS = tuple(level for coverage in COVERAGES for level in bound_levels(coverage))


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
    return StandardQuantiles(
        "empirical",
        tuple(float(q) for q in np.quantile(values, GRID, method="median_unbiased")),
        tuple(float(q) for q in np.quantile(values, BOUNDS, method="median_unbiased")),
    )
