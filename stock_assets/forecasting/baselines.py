"""What intervals are held against: normal laws whose width comes from past returns alone.

`expanding_normal`: mean and variance of all of a ticker's returns so far. `ewma_normal`: mean zero,
exponentially weighted squares with a decay of 0.94 (RiskMetrics 1996). Both know what was known at
the forecast's own session. Closed forms after Gneiting & Raftery (2007), eq. 21 and 43.
"""

import math
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.evaluation import mean
from stock_assets.market.bars import by_ticker

BASELINES = ("expanding_normal", "ewma_normal")
LEAST_RETURNS = 63
"""Returns of a ticker before which its baselines say nothing."""
_COMPARED = ("ticker", "session", "crps", "interval_score_95")
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
        by_ticker(returns.drop_nulls("return_1d"))
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


def beside_baselines(scores: pl.DataFrame, returns: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """The scores of intervals that have baselines to stand beside, and the baselines' own.

    Args:
        scores: SCORE_SCHEMA.
        returns: See `baseline_laws`; from the first stored session on.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        `ticker, session, crps, interval_score_95` of the rows of `scores` with an interval and
        laws, and per baseline `crps_*`, `interval_score_95_*`, `covered_95_*`; null where its width
        is zero.
    """
    rows = (
        scores.select(*_COMPARED, "as_of_session", "realised_return")
        .drop_nulls(["crps", "interval_score_95"])
        .join(
            baseline_laws(returns, horizon),
            left_on=["ticker", "as_of_session"],
            right_on=["ticker", "session"],
        )
    )
    for name in BASELINES:
        centre, width = pl.col(f"centre_{name}"), pl.col(f"width_{name}")
        beyond = ((pl.col("realised_return") - centre).abs() - _Z95 * width).clip(lower_bound=0)
        crps = normal_crps(
            rows["realised_return"].to_numpy(),
            rows[f"centre_{name}"].to_numpy(),
            rows.select(pl.when(width > 0).then(width)).to_series().to_numpy(),
        )
        rows = rows.with_columns(
            pl.Series(f"crps_{name}", crps).fill_nan(None),
            # Width and forty times what lies beyond it: 2 / (1 - 0.95).
            pl.when(width > 0)
            .then(2 * _Z95 * width + 40 * beyond)
            .alias(f"interval_score_95_{name}"),
            pl.when(width > 0).then(beyond == 0).alias(f"covered_95_{name}"),
        )
    return rows.select(
        *_COMPARED,
        *(f"{s}_{name}" for name in BASELINES for s in ("crps", "interval_score_95", "covered_95")),
    )


def summarise_baselines(rows: pl.DataFrame) -> dict[str, Any]:
    """Means of what `beside_baselines` gave, both on the forecasts that have either.

    Returns:
        Per baseline: `forecasts`, `crps`, `crps_forecast`, `interval_score_95`,
        `interval_score_95_forecast`, `coverage_95`. Empty where nothing can be compared.
    """
    found = {}
    for name in BASELINES:
        both = rows.drop_nulls(f"crps_{name}")
        if both.height:
            found[name] = {
                "forecasts": both.height,
                "crps": mean(both[f"crps_{name}"]),
                "crps_forecast": mean(both["crps"]),
                "interval_score_95": mean(both[f"interval_score_95_{name}"]),
                "interval_score_95_forecast": mean(both["interval_score_95"]),
                "coverage_95": mean(both[f"covered_95_{name}"]),
            }
    return found
