"""Scores of forecasts once their target session is known; means over them are in `summary`.

The random walk (no change of the log price) is beside every error. CRPS and interval score after
Gneiting & Raftery (2007), "Strictly Proper Scoring Rules"; both are in units of log return. A
forecast whose outcome nobody knows is not passed over in silence: it has a row that says why.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import polars as pl

from stock_assets.forecasting.intervals import COVERAGES, GRID
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
    "unscored_reason": pl.String(),
    "record": pl.String(),
    "rolling_forecasts": pl.UInt32(),
    "rolling_issued": pl.UInt32(),
    "rolling_rmse_return": pl.Float64(),
    "rolling_rmse_return_random_walk": pl.Float64(),
    "rolling_rmse_usd": pl.Float64(),
    **{f"rolling_coverage_{coverage}": pl.Float64() for coverage in COVERAGES},
}
"""Columns of a score. `session` is the target session. Errors are realised minus forecast; dollars
are in the shares of the forecast's own session, with dividends kept in the share, and the forecast
of a close is its geometric mean, so `error_usd` has no mean of zero even for a perfect law.
Coverage, CRPS and interval score are null where the forecast had no interval.

`unscored_reason`: why the share's worth in the target session is not known, null for a scored row.
Then return, errors, CRPS and interval score are null; `covered_*` is what the recorded close says,
for a bar that is there but in quarantine, and null without a bar. `rolling_*`: over the ticker's
scored forecasts with targets in the last sessions up to this one, null where the row is unscored.

`record`: ISSUED where users could have the forecast before its target opened, else HINDSIGHT; null
where an older release scored, which is hindsight too. `rolling_issued`: how many of
`rolling_forecasts` were issued.
"""

SCORE_LATER = frozenset({"unscored_reason", "record", "rolling_issued"})
"""Columns that the first objects lack: null there."""
OWN_COLUMNS = tuple(name for name in SCORE_SCHEMA if not name.startswith("rolling"))
"""What one forecast's score is by itself: all that a summary needs."""
ISSUED, HINDSIGHT = "issued", "hindsight"
NO_BAR = "no bar in the target session"
NO_BAR_BETWEEN = "no bar in a session up to the target"
_NOT_KNOWN = ", so what the share was worth is not known"
_BLOCK = 50_000
"""Rows whose quantiles are scored at a time: of all, they would be the most that a run holds."""


def rmse(errors: np.ndarray) -> float:
    """Root of the mean square; NaN for no errors."""
    return float(np.sqrt(np.mean(np.square(errors)))) if len(errors) else math.nan


def is_scored() -> pl.Expr:
    """Whether a row has errors; rows from before there was an `unscored_reason` all have."""
    return pl.col("error_return").is_not_null()


def scored_columns(scores: pl.DataFrame) -> Callable[[str], pl.Series]:
    """Gives a column's values in the scored rows.

    One column at a time: of 24 million rows a filtered copy would be gigabytes.
    """
    scored = scores.select(is_scored()).to_series()
    if scored.all():
        return lambda name: scores[name]
    return lambda name: scores[name].filter(scored)


def score_forecasts(forecasts: pl.DataFrame, bars: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """Errors of the forecasts whose target session has a sound bar, and why the others have none.

    Args:
        forecasts: FORECAST_SCHEMA, of target sessions that are over.
        bars: What `judge_bars` made of the bars of the target sessions, as traded; where `horizon`
            is more than one, from the forecasts' own sessions on.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        SCORE_SCHEMA without the rolling columns, one row per forecast, sorted by session and
        ticker. A forecast whose ticker lacks a sound bar in one of the sessions up to its target is
        not scored.
    """
    recorded, outcome = pl.col("recorded_usd"), pl.col("outcome_usd")
    scored = (
        forecasts.join(_outcomes(bars, horizon), on=["ticker", "target_session"], how="left")
        .with_columns(recorded_usd=pl.when(_is_unbroken(horizon)).then(recorded))
        .with_columns(
            session=pl.col("target_session"),
            record=pl.when(pl.col("issued_at").is_null())
            .then(pl.lit(HINDSIGHT))
            .otherwise(pl.lit(ISSUED)),
            unscored_reason=pl.when(pl.col("has_bar").is_null())
            .then(pl.lit(NO_BAR))
            .when(recorded.is_null())
            .then(pl.lit(NO_BAR_BETWEEN))
            .otherwise(pl.col("quarantine_reason").cast(pl.String) + _NOT_KNOWN),
            # A crash may look too large to be true: its bar is held against the interval as it is.
            **{
                f"covered_{c}": recorded.is_between(f"lower_{c}_usd", f"upper_{c}_usd")
                for c in COVERAGES
            },
        )
        .with_columns(outcome_usd=pl.when(pl.col("unscored_reason").is_null()).then(recorded))
        .with_columns(realised_return=(outcome / pl.col("close_usd")).log())
        .with_columns(
            error_return=pl.col("realised_return") - pl.col("forecast_return"),
            error_return_random_walk=pl.col("realised_return"),
            error_usd=outcome - pl.col("forecast_close_usd"),
            error_usd_random_walk=outcome - pl.col("close_usd"),
            interval_score_95=_interval_score(95),
        )
        .sort("session", "ticker")
    )
    return scored.with_columns(crps=_crps(scored)).select(
        pl.col(name).cast(SCORE_SCHEMA[name]) for name in OWN_COLUMNS
    )


def _is_unbroken(horizon: int) -> pl.Expr:
    """Whether each session from the forecast's own to its target has a bar.

    Where the target is the very next one, nothing of the forecast's own bar is asked but the close,
    which the forecast holds.
    """
    if horizon == 1:
        return pl.col("has_bar")
    return pl.col("from_session") == pl.col("as_of_session")


def _outcomes(bars: pl.DataFrame, horizon: int) -> pl.DataFrame:
    """What a share of `horizon` sessions earlier was worth: splits and dividends since undone.

    Returns:
        `ticker, target_session, has_bar, recorded_usd` and `quarantine_reason`, the latest of the
        bars spanned; `from_session` is that of the ticker's own bar so many bars earlier.
    """
    own = pl.col("ticker") == pl.col("ticker").shift(horizon)
    # One share of the close before became so many by the close of this session.
    shares = (1 + pl.col("dividend") / pl.col("close")) * pl.col("split_ratio")
    worth = (pl.col("close") + pl.col("dividend")) * pl.col("split_ratio")
    return by_ticker(bars).select(
        "ticker",
        pl.col("session").alias("target_session"),
        has_bar=pl.lit(True),
        from_session=pl.when(own).then(pl.col("session").shift(horizon)),
        recorded_usd=math.prod((shares.shift(n) for n in range(1, horizon)), start=worth),
        quarantine_reason=pl.coalesce(
            pl.when(pl.col("ticker") == pl.col("ticker").shift(n)).then(
                pl.col("quarantine_reason").shift(n)
            )
            if n
            else pl.col("quarantine_reason")
            for n in range(horizon)
        ),
    )


def _interval_score(coverage: int) -> pl.Expr:
    """Width of the interval in log return, plus a fine for each target outside."""
    lower = (pl.col(f"lower_{coverage}_usd") / pl.col("close_usd")).log()
    upper = (pl.col(f"upper_{coverage}_usd") / pl.col("close_usd")).log()
    realised = (pl.col("outcome_usd") / pl.col("close_usd")).log()
    fine = 2 / (1 - coverage / 100)
    below = (lower - realised).clip(lower_bound=0)
    above = (realised - upper).clip(lower_bound=0)
    return upper - lower + fine * (below + above)


def pinball_crps(
    quantiles: np.ndarray, realised: np.ndarray, levels: Sequence[float] = GRID
) -> np.ndarray:
    """Twice the mean pinball loss over `levels`: (n, n_levels) and (n,) give (n,).

    Over GRID it is the CRPS. Over the bounds of central intervals, with or without the median, it
    is their weighted interval score: Bracher et al. (2021), "Evaluating epidemic forecasts in an
    interval format".
    """
    missed = quantiles - realised[:, None]
    return np.asarray(2 * (((missed > 0) - np.asarray(levels)) * missed).mean(axis=1))


def _crps(scored: pl.DataFrame) -> pl.Series:
    """Twice the mean pinball loss over GRID; null where there are no quantiles or no return."""
    known = scored["quantile_returns"].is_not_null() & scored["realised_return"].is_not_null()
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
        SCORE_SCHEMA, sorted by session and ticker; null rolling columns where a row is not scored.
    """
    rolled = _rolled(scores.filter(is_scored()), sessions, window)
    unscored = scores.filter(is_scored().not_())
    return (
        pl.concat([rolled, unscored], how="diagonal")
        .sort("session", "ticker")
        .select(pl.col(name).cast(dtype) for name, dtype in SCORE_SCHEMA.items())
    )


def _rolled(scores: pl.DataFrame, sessions: Sequence[Any], window: int) -> pl.DataFrame:
    """The scored rows with the rolling columns, in the same order."""
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
        rolling_issued=pl.Series(window_sums(scores["record"].eq_missing(ISSUED).to_numpy())),
        **{
            name: pl.Series(np.sqrt(window_sums(scores[errors].to_numpy() ** 2) / count))
            for name, errors in columns.items()
        },
        **{
            name: pl.Series(window_sums(scores[c].fill_null(False).to_numpy()))
            / pl.when(pl.Series(judged[c]) > 0).then(pl.Series(judged[c]))
            for c, name in covered.items()
        },
    )
