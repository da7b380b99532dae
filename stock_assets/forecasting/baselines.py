"""What intervals are held against: rules whose width comes from past returns alone.

`expanding_normal`: a normal law with mean and variance of all of a ticker's returns so far.
`ewma_normal`: one with mean zero and exponentially weighted squares with a decay of 0.94
(RiskMetrics 1996). `split_conformal`: as far on either side of no change as 95 % of the ticker's
newest absolute returns reach (Vovk, Gammerman & Shafer 2005, "Algorithmic Learning in a Random
World"; Lei et al. 2018, "Distribution-Free Predictive Inference for Regression"): it has an
interval, but no law. All know what was known at the forecast's own session. Closed forms after
Gneiting & Raftery (2007), eq. 21 and 43.
"""

import math
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.summary import mean
from stock_assets.market.bars import by_ticker

_LAWS = ("expanding_normal", "ewma_normal")
BASELINES = (*_LAWS, "split_conformal")
LEAST_RETURNS = 63
"""Returns of a ticker before which its baselines say nothing."""
_COMPARED = ("ticker", "session", "crps", "interval_score_95")
CONFORMAL_RETURNS = 250
"""Newest absolute returns that the split conformal interval is made of."""
_DECAY = 0.94
_Z95 = 1.959963984540054


def baseline_laws(returns: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """Centre and width of each baseline's law for the sessions after each row's.

    Args:
        returns: `ticker, session, return_1d`, any order; nulls are passed over.
        horizon: Sessions that the law's return spans: the sum of so many independent ones.

    Returns:
        `ticker, session`, per normal law `centre_*` and `width_*`, and `half_width_split_conformal`
        (null where too few returns over the horizon are known), of rows with LEAST_RETURNS.
    """
    value = pl.col("return_1d")
    count, total, squares = value.cum_count(), value.cum_sum(), (value**2).cum_sum()
    return (
        by_ticker(returns.drop_nulls("return_1d"))
        .with_columns(
            known=count.over("ticker"),
            size=sum((value.shift(n) for n in range(1, horizon)), start=value).abs().over("ticker"),
        )
        .pipe(_with_conformal, horizon)
        .with_columns(
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
            *(pl.col(f"centre_{name}") * horizon for name in _LAWS),
            *(pl.col(f"width_{name}") * math.sqrt(horizon) for name in _LAWS),
            "half_width_split_conformal",
        )
    )


def conformal_rank(n: int) -> int:
    """Which of n absolute returns, ascending from one, is the half width: ceil(0.95 (n + 1)).

    The one more is the return to come: of n + 1 that are alike, it lies within with at least 95 %.
    """
    return -(-19 * (n + 1) // 20)


def _with_conformal(rows: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """Puts `half_width_split_conformal` in place of `size`, the absolute return over the horizon.

    Args:
        rows: Sorted by ticker and session, with how many returns of the ticker are `known`.
        horizon: `size` is null on a ticker's first rows but one for each session of it.
    """
    whole = (
        pl.col("size")
        .rolling_quantile(
            (conformal_rank(CONFORMAL_RETURNS) - 1) / (CONFORMAL_RETURNS - 1),
            interpolation="nearest",
            window_size=CONFORMAL_RETURNS,
            min_samples=CONFORMAL_RETURNS,
        )
        .over("ticker")
    )
    nth_size = pl.col("known").cast(pl.Int64) - (horizon - 1)
    young = rows.select("ticker", "size", nth=nth_size - 1, row=pl.int_range(pl.len())).filter(
        pl.col("nth").is_between(0, CONFORMAL_RETURNS - 2)
    )
    newcomer = young["ticker"].rle_id().to_numpy().astype(np.int64)
    nth = young["nth"].to_numpy()
    sizes = np.full((newcomer.max(initial=-1) + 1, CONFORMAL_RETURNS - 1), np.inf)
    sizes[newcomer, nth] = young["size"].to_numpy()
    widths = np.full_like(sizes, np.nan)
    for n in range(LEAST_RETURNS, CONFORMAL_RETURNS):
        rank = conformal_rank(n) - 1
        widths[:, n - 1] = np.partition(sizes[:, :n], rank, axis=1)[:, rank]
    first = np.full(rows.height, np.nan)
    first[young["row"].to_numpy()] = widths[newcomer, nth]
    return rows.with_columns(
        half_width_split_conformal=pl.coalesce(whole, pl.Series(first).fill_nan(None))
    ).drop("size")


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
        laws, and per baseline `interval_score_95_*` and `covered_95_*`, null where its width is
        zero or not known, and `crps_*` where it has a law.
    """
    rows = (
        scores.lazy()
        .select(*_COMPARED, "as_of_session", "realised_return")
        .drop_nulls(["crps", "interval_score_95"])
        .collect()
        .join(
            baseline_laws(returns, horizon),
            left_on=["ticker", "as_of_session"],
            right_on=["ticker", "session"],
        )
    )
    for name in BASELINES:
        if name in _LAWS:
            width = pl.col(f"width_{name}")
            centre, half = pl.col(f"centre_{name}"), _Z95 * width
            crps = normal_crps(
                rows["realised_return"].to_numpy(),
                rows[f"centre_{name}"].to_numpy(),
                rows.select(pl.when(width > 0).then(width)).to_series().to_numpy(),
            )
            rows = rows.with_columns(pl.Series(f"crps_{name}", crps).fill_nan(None))
        else:
            centre, half = pl.lit(0.0), pl.col(f"half_width_{name}")
        beyond = ((pl.col("realised_return") - centre).abs() - half).clip(lower_bound=0)
        rows = rows.with_columns(
            # Width and forty times what lies beyond it: 2 / (1 - 0.95).
            pl.when(half > 0).then(2 * half + 40 * beyond).alias(f"interval_score_95_{name}"),
            pl.when(half > 0).then(beyond == 0).alias(f"covered_95_{name}"),
        )
    return rows.select(
        *_COMPARED,
        *(f"crps_{name}" for name in _LAWS),
        *(f"{score}_{name}" for name in BASELINES for score in ("interval_score_95", "covered_95")),
    )


def summarise_baselines(rows: pl.DataFrame) -> dict[str, Any]:
    """Means of what `beside_baselines` gave, both on the forecasts that have either.

    Returns:
        Per baseline: `forecasts`, `crps` (None for one without a law), `crps_forecast`,
        `interval_score_95`, `interval_score_95_forecast`, `coverage_95`. Empty where nothing can be
        compared.
    """
    found = {}
    for name in BASELINES:
        both = rows[f"interval_score_95_{name}"].is_not_null()
        count = int(both.sum())
        if not count:
            continue

        def known(column: str, both: pl.Series = both) -> Any:
            # One column at a time: the rows of twenty years are not copied.
            return mean(rows[column].filter(both))

        found[name] = {
            "forecasts": count,
            "crps": known(f"crps_{name}") if name in _LAWS else None,
            "crps_forecast": known("crps"),
            "interval_score_95": known(f"interval_score_95_{name}"),
            "interval_score_95_forecast": known("interval_score_95"),
            "coverage_95": known(f"covered_95_{name}"),
        }
    return found
