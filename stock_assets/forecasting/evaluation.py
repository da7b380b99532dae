"""Scores of forecasts once their target session is known, and their summary over a range.

The random walk (no change of the log price) is beside every error. CRPS and interval score after
Gneiting & Raftery (2007), "Strictly Proper Scoring Rules"; both are in units of log return. The
test is Diebold & Mariano (1995) with Newey-West variance on the daily mean loss over tickers.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.intervals import COVERAGES, GRID
from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.market.bars import by_ticker

SCORE_SCHEMA: dict[str, pl.DataType] = {
    "ticker": pl.String(),
    "session": pl.Date(),
    "as_of_session": pl.Date(),
    "model": pl.String(),
    "model_version": pl.Int64(),
    "is_fallback": pl.Boolean(),
    "forecast_return": pl.Float64(),
    "realised_return": pl.Float64(),
    "error_return": pl.Float64(),
    "error_return_random_walk": pl.Float64(),
    "error_usd": pl.Float64(),
    "error_usd_random_walk": pl.Float64(),
    **{f"covered_{coverage}": pl.Boolean() for coverage in COVERAGES},
    "crps": pl.Float64(),
    "interval_score_95": pl.Float64(),
    "rolling_forecasts": pl.UInt32(),
    "rolling_rmse_return": pl.Float64(),
    "rolling_rmse_return_random_walk": pl.Float64(),
    "rolling_rmse_usd": pl.Float64(),
    **{f"rolling_coverage_{coverage}": pl.Float64() for coverage in COVERAGES},
}
"""Columns of a score. `session` is the target session. Errors are realised minus forecast; dollars
are in the shares of the forecast's own session, with dividends kept in the share. Coverage, CRPS
and interval score are null where the forecast had no interval. `rolling_*`: over the ticker's
forecasts with targets in the last sessions up to this one."""

OWN_COLUMNS = tuple(name for name in SCORE_SCHEMA if not name.startswith("rolling"))
"""What one forecast's score is by itself: all that a summary needs."""
_BLOCK = 50_000
"""Rows whose quantiles are scored at a time: of all, they would be the most that a run holds."""


def rmse(errors: np.ndarray) -> float:
    """Root of the mean square; NaN for no errors."""
    return float(np.sqrt(np.mean(np.square(errors)))) if len(errors) else math.nan


def mean(values: pl.Series) -> Any:
    """Of the known values, None without any; the same to the last bit in whatever chunks they are.

    How many a column has depends on what it was read from.
    """
    return values.rechunk().mean()


def score_forecasts(forecasts: pl.DataFrame, bars: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """Errors of the forecasts whose target session has a bar.

    Args:
        forecasts: FORECAST_SCHEMA.
        bars: Sound bars (BAR_SCHEMA) of the target sessions, as traded; where `horizon` is more
            than one, from the forecasts' own sessions on.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        SCORE_SCHEMA without the rolling columns, sorted by session and ticker. A forecast whose
        ticker lacks a bar in one of the sessions up to its target has no row: what the share was
        worth then is not known.
    """
    outcome = pl.col("outcome_usd")
    realised = (outcome / pl.col("close_usd")).log()
    scored = (
        forecasts.join(
            _outcomes(bars, horizon),
            on=["ticker", "target_session"] + (["as_of_session"] if horizon > 1 else []),
        )
        .with_columns(realised_return=realised, session=pl.col("target_session"))
        .with_columns(
            error_return=pl.col("realised_return") - pl.col("forecast_return"),
            error_return_random_walk=pl.col("realised_return"),
            error_usd=outcome - pl.col("forecast_close_usd"),
            error_usd_random_walk=outcome - pl.col("close_usd"),
            interval_score_95=_interval_score(95),
            **{
                f"covered_{c}": outcome.is_between(f"lower_{c}_usd", f"upper_{c}_usd")
                for c in COVERAGES
            },
        )
        .sort("session", "ticker")
    )
    return scored.with_columns(crps=_crps(scored)).select(
        pl.col(name).cast(SCORE_SCHEMA[name]) for name in OWN_COLUMNS
    )


def _outcomes(bars: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """What a share of `horizon` sessions earlier was worth: splits and dividends since undone.

    Returns:
        `ticker, target_session, outcome_usd`; with more than one session also `as_of_session`, the
        ticker's own bar that many bars earlier.
    """
    outcomes = by_ticker(bars).select(
        "ticker",
        "session",
        pl.col("session").alias("target_session"),
        outcome_usd=(pl.col("close") + pl.col("dividend")) * pl.col("split_ratio"),
        # One share of the close before became so many by the close of this session.
        shares=(1 + pl.col("dividend") / pl.col("close")) * pl.col("split_ratio"),
    )
    if horizon > 1:
        own = pl.col("ticker") == pl.col("ticker").shift(horizon)
        outcomes = outcomes.with_columns(
            as_of_session=pl.when(own).then(pl.col("session").shift(horizon)),
            outcome_usd=math.prod(
                (pl.col("shares").shift(n) for n in range(1, horizon)), start=pl.col("outcome_usd")
            ),
        )
    return outcomes.drop("session", "shares")


def _interval_score(coverage: int) -> pl.Expr:
    """Width of the interval in log return, plus a fine for each target outside."""
    lower = (pl.col(f"lower_{coverage}_usd") / pl.col("close_usd")).log()
    upper = (pl.col(f"upper_{coverage}_usd") / pl.col("close_usd")).log()
    realised = (pl.col("outcome_usd") / pl.col("close_usd")).log()
    fine = 2 / (1 - coverage / 100)
    below = (lower - realised).clip(lower_bound=0)
    above = (realised - upper).clip(lower_bound=0)
    return upper - lower + fine * (below + above)


def pinball_crps(quantiles: np.ndarray, realised: np.ndarray) -> np.ndarray:
    """Twice the mean pinball loss over GRID: (n, 50) and (n,) give (n,)."""
    missed = quantiles - realised[:, None]
    return np.asarray(2 * (((missed > 0) - np.asarray(GRID)) * missed).mean(axis=1))


def _crps(scored: pl.DataFrame) -> pl.Series:
    """Twice the mean pinball loss over GRID; null where there are no quantiles."""
    known = scored["quantile_returns"].is_not_null()
    rows = scored.filter(known)
    quantiles = rows["quantile_returns"].list.to_array(len(GRID))
    realised = rows["realised_return"].to_numpy()
    found = np.empty(rows.height)
    for first in range(0, rows.height, _BLOCK):
        block = slice(first, first + _BLOCK)
        found[block] = pinball_crps(quantiles[block].to_numpy(), realised[block])
    values = np.full(scored.height, np.nan)
    values[known.to_numpy()] = found
    return pl.Series("crps", values).fill_nan(None)


def add_rolling(scores: pl.DataFrame, sessions: Sequence[Any], window: int) -> pl.DataFrame:
    """Adds the rolling columns: RMSE over the last `window` sessions up to each row's.

    Args:
        scores: The columns of `score_forecasts`, with the sessions before the first of interest.
        sessions: Consecutive sessions that cover the scores; a window counts these, so a session
            without a score makes a window smaller, not longer.
        window: Sessions.

    Returns:
        SCORE_SCHEMA in the same order.
    """
    order = {session: n for n, session in enumerate(sessions)}
    row = scores["session"].replace_strict(order, return_dtype=pl.Int64).to_numpy()
    tickers = scores["ticker"].unique().sort()
    column = tickers.search_sorted(scores["ticker"]).to_numpy()

    def window_sums(values: np.ndarray) -> np.ndarray:
        grid = np.zeros((len(sessions) + window - 1, len(tickers)))
        grid[row + window - 1, column] = values
        sums = np.zeros((len(sessions), len(tickers)))
        # Each window's own values, oldest first: a running sum would carry in its last bits where
        # the range began, and a daily run would differ from a backfill.
        for age in range(window):
            sums += grid[age : age + len(sessions)]
        return np.asarray(sums[row, column])

    count = window_sums(np.ones(scores.height))
    columns = {
        "rolling_rmse_return": "error_return",
        "rolling_rmse_return_random_walk": "error_return_random_walk",
        "rolling_rmse_usd": "error_usd",
    }
    covered = {f"covered_{coverage}": f"rolling_coverage_{coverage}" for coverage in COVERAGES}
    # A forecast may have had no interval.
    judged = {c: window_sums(scores[c].is_not_null().to_numpy()) for c in covered}
    return scores.with_columns(
        rolling_forecasts=pl.Series(count),
        **{
            name: pl.Series(np.sqrt(window_sums(scores[errors].to_numpy() ** 2) / count))
            for name, errors in columns.items()
        },
        **{
            name: pl.Series(window_sums(scores[c].fill_null(False).to_numpy()))
            / pl.when(pl.Series(judged[c]) > 0).then(pl.Series(judged[c]))
            for c, name in covered.items()
        },
    ).select(pl.col(name).cast(dtype) for name, dtype in SCORE_SCHEMA.items())


def diebold_mariano_t(losses: np.ndarray, losses_reference: np.ndarray, horizon: int = 1) -> float:
    """The t statistic of the mean loss difference, positive where the reference is worse.

    Args:
        losses: One loss a session, ascending, shape (n_sessions,).
        losses_reference: The same of the reference.
        horizon: Sessions that a forecast spans: the losses of neighbours overlap.

    Returns:
        Newey-West t with Bartlett weights, see `newey_west_lags`; 0.0 where the two never differ,
        NaN for fewer than two sessions.
    """
    difference = np.asarray(losses_reference) - np.asarray(losses)
    n = len(difference)
    if n < 2:
        return math.nan
    if not difference.any():
        return 0.0
    variance = newey_west_variance(difference, horizon)
    return float(difference.mean() / math.sqrt(variance / n)) if variance > 0 else math.nan


def newey_west_lags(n: int, horizon: int = 1) -> int:
    """floor(4 (n/100)^(2/9)), and at least twice the overlap of losses `horizon` sessions long.

    Twice, because Bartlett weights fall to zero over the lags.
    """
    return max(int(4 * (n / 100) ** (2 / 9)), 2 * (horizon - 1))


def newey_west_variance(values: np.ndarray, horizon: int = 1) -> float:
    """Long-run variance of a series with Bartlett weights, shape (n,); Newey & West (1987)."""
    n = len(values)
    return bartlett_sum(values - values.mean(), newey_west_lags(n, horizon)) / n


def bartlett_sum(values: np.ndarray, lags: int) -> float:
    """Sum of the products of all pairs up to `lags` apart, shape (n,), weights falling to zero."""
    total = values @ values
    for lag in range(1, min(lags, len(values) - 1) + 1):
        total += 2 * (1 - lag / (lags + 1)) * (values[lag:] @ values[:-lag])
    return float(total)


def summarise(scores: pl.DataFrame, horizon: int = 1) -> dict[str, Any]:
    """The scores of a range as plain numbers; a number that can't be known is None.

    Dollar RMSE is pooled over the tickers of `scores`: dear shares weigh most in it.

    Args:
        scores: SCORE_SCHEMA.
        horizon: Sessions from a forecast's own to its target.
    """
    daily = (
        scores.group_by("session")
        .agg(
            own=(pl.col("error_return") ** 2).mean(),
            naive=(pl.col("error_return_random_walk") ** 2).mean(),
        )
        .sort("session")
    )
    own = rmse(scores["error_return"].to_numpy())
    naive = rmse(scores["error_return_random_walk"].to_numpy())
    summary = {
        "sessions": scores["session"].n_unique(),
        "tickers": scores["ticker"].n_unique(),
        "forecasts": scores.height,
        "rmse_return": own,
        "rmse_return_random_walk": naive,
        "skill": 1 - own / naive if naive else math.nan,
        "dm_t": diebold_mariano_t(daily["own"].to_numpy(), daily["naive"].to_numpy(), horizon),
        "mae_return": mean(scores["error_return"].abs()),
        "mae_return_random_walk": mean(scores["error_return_random_walk"].abs()),
        "rmse_usd": rmse(scores["error_usd"].to_numpy()),
        "rmse_usd_random_walk": rmse(scores["error_usd_random_walk"].to_numpy()),
        "coverage": {str(c): mean(scores[f"covered_{c}"]) for c in COVERAGES},
        "crps": mean(scores["crps"]),
        "interval_score_95": mean(scores["interval_score_95"]),
        "fallback_share": mean(scores["is_fallback"]),
        "random_walk_share": mean(scores["model"] == RANDOM_WALK),
        "versions": sorted(scores["model_version"].drop_nulls().unique().to_list()),
    }
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in summary.items()
    }


def summarise_by_ticker(scores: pl.DataFrame, horizon: int = 1) -> dict[str, dict[str, Any]]:
    """By ticker, ascending."""
    return _summarise_by("ticker", scores, horizon)


def summarise_by_month(scores: pl.DataFrame, horizon: int = 1) -> dict[str, dict[str, Any]]:
    """By the month of the target session, ascending."""
    months = scores.with_columns(month=pl.col("session").dt.strftime("%Y-%m"))
    return _summarise_by("month", months, horizon)


def _summarise_by(column: str, scores: pl.DataFrame, horizon: int) -> dict[str, dict[str, Any]]:
    # One group in memory at a time: all together they are a copy of the rows.
    found = {str(key): summarise(rows, horizon) for (key,), rows in scores.group_by(column)}
    return dict(sorted(found.items()))
