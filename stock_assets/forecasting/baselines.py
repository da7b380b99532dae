"""What intervals are held against: normal laws whose width comes from past returns alone.

`expanding_normal`: mean and variance of all of a ticker's returns so far. `ewma_normal`: mean zero,
exponentially weighted squares with a decay of 0.94 (RiskMetrics 1996). Both know what was known at
the forecast's own session. Closed forms after Gneiting & Raftery (2007), eq. 21 and 43.
"""

import math
from typing import Any

import numpy as np
import polars as pl

BASELINES = ("expanding_normal", "ewma_normal")
LEAST_RETURNS = 63
"""Returns of a ticker before which its baselines say nothing."""
_DECAY = 0.94
_Z95 = 1.959963984540054


def baseline_laws(returns: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """Centre and width of each baseline's law for the sessions after each row's.

    Args:
        returns: `ticker, session, return_1d`, any order; nulls are passed over.
        horizon: Sessions that the law's return spans: the sum of so many independent ones.

    Returns:
        `ticker, session` and per baseline `centre_*`, `width_*`, of rows with LEAST_RETURNS.
    """
    value = pl.col("return_1d")
    count, total, squares = value.cum_count(), value.cum_sum(), (value**2).cum_sum()
    return (
        returns.drop_nulls("return_1d")
        .sort("ticker", "session")
        .with_columns(
            known=count.over("ticker"),
            centre_expanding_normal=(total / count).over("ticker"),
            width_expanding_normal=(squares / count - (total / count) ** 2)
            .clip(lower_bound=0)
            .sqrt()
            .over("ticker"),
            centre_ewma_normal=pl.lit(0.0),
            width_ewma_normal=(value**2).ewm_mean(alpha=1 - _DECAY).sqrt().over("ticker"),
        )
        .filter(pl.col("known") >= LEAST_RETURNS)
        .select(
            "ticker",
            "session",
            *(pl.col(f"centre_{name}") * horizon for name in BASELINES),
            *(pl.col(f"width_{name}") * math.sqrt(horizon) for name in BASELINES),
        )
    )


def normal_crps(realised: np.ndarray, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Of a normal law, shape (n,)."""
    from scipy.special import ndtr

    z = (realised - centre) / width
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return np.asarray(width * (z * (2 * ndtr(z) - 1) + 2 * density - 1 / math.sqrt(math.pi)))


def compare_with_baselines(
    scores: pl.DataFrame, returns: pl.DataFrame, horizon: int = 1
) -> dict[str, Any]:
    """Interval scores of forecasts and baselines, both on the forecasts that have either.

    Args:
        scores: SCORE_SCHEMA.
        returns: See `baseline_laws`; from the first stored session on.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        Per baseline: `forecasts`, `crps`, `crps_forecast`, `interval_score_95`,
        `interval_score_95_forecast`, `coverage_95`. Empty where nothing can be compared.
    """
    joined = scores.drop_nulls(["crps", "interval_score_95"]).join(
        baseline_laws(returns, horizon),
        left_on=["ticker", "as_of_session"],
        right_on=["ticker", "session"],
    )
    found = {}
    for name in BASELINES if joined.height else ():
        rows = joined.filter(pl.col(f"width_{name}") > 0)
        realised = rows["realised_return"].to_numpy()
        centre, width = rows[f"centre_{name}"].to_numpy(), rows[f"width_{name}"].to_numpy()
        beyond = np.maximum(np.abs(realised - centre) - _Z95 * width, 0)
        found[name] = {
            "forecasts": rows.height,
            "crps": float(np.mean(normal_crps(realised, centre, width))),
            "crps_forecast": rows["crps"].mean(),
            # Width and forty times what lies beyond it: 2 / (1 - 0.95).
            "interval_score_95": float(np.mean(2 * _Z95 * width + 40 * beyond)),
            "interval_score_95_forecast": rows["interval_score_95"].mean(),
            "coverage_95": float(np.mean(beyond == 0)),
        }
    return found
