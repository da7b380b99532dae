"""The scores of a range as plain numbers, as `backtest --json` prints them.

Errors, coverage and shares are of scored forecasts; those whose outcome is not known are counted
beside them. A number that can't be known is None.
"""

import math
from typing import Any

import polars as pl

from stock_assets.forecasting.calibration import (
    calibration_tests,
    count_rejections,
    coverage_confidence,
    skill_confidence,
)
from stock_assets.forecasting.cross_section import joint_misses, rank_information
from stock_assets.forecasting.evaluation import HINDSIGHT, ISSUED, rmse, scored_columns
from stock_assets.forecasting.hard_times import (
    coverage_after_gaps,
    coverage_by_regime,
    worst_sessions,
    worst_weeks,
)
from stock_assets.forecasting.intervals import COVERAGES
from stock_assets.forecasting.long_run_variance import diebold_mariano_t
from stock_assets.forecasting.promotion import RANDOM_WALK
from stock_assets.forecasting.session_sums import session_sums


def mean(values: pl.Series) -> Any:
    """Of the known values, None without any; the same to the last bit in whatever chunks they are.

    How many a column has depends on what it was read from.
    """
    return values.rechunk().mean()


def summarise(scores: pl.DataFrame, horizon: int = 1) -> dict[str, Any]:
    """What the scores of any group have: of a range, of one ticker, of one month.

    Dollar RMSE is pooled over the tickers of `scores`: dear shares weigh most in it.

    Args:
        scores: SCORE_SCHEMA, with or without the rolling columns.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        `forecasts` is the number of scored ones, and all else is of these, but for `unscored`,
        `unscored_reasons` (a count of each) and `coverage_with_unscored`, which adds the targets
        whose bar is there and in quarantine, by their recorded closes.
    """
    scored = scored_columns(scores)
    sums = session_sums(scores)
    daily = sums["forecasts"].to_numpy()
    errors, errors_usd = scored("error_return"), scored("error_usd")
    naive_errors, naive_usd = scored("error_return_random_walk"), scored("error_usd_random_walk")
    own, naive = rmse(errors.to_numpy()), rmse(naive_errors.to_numpy())
    summary = {
        "sessions": sums.height,
        "tickers": scored("ticker").n_unique(),
        "forecasts": len(errors),
        "unscored": scores.height - len(errors),
        "unscored_reasons": _unscored_reasons(scores),
        "rmse_return": own,
        "rmse_return_random_walk": naive,
        "skill": 1 - own / naive if naive else math.nan,
        "skill_confidence": skill_confidence(sums, horizon),
        "dm_t": diebold_mariano_t(
            sums["squared_error"].to_numpy() / daily,
            sums["squared_error_random_walk"].to_numpy() / daily,
            horizon,
        ),
        "mae_return": mean(errors.abs()),
        "mae_return_random_walk": mean(naive_errors.abs()),
        "rmse_usd": rmse(errors_usd.to_numpy()),
        "rmse_usd_random_walk": rmse(naive_usd.to_numpy()),
        "coverage": {str(c): mean(scored(f"covered_{c}")) for c in COVERAGES},
        "coverage_confidence": coverage_confidence(sums, horizon),
        "coverage_with_unscored": {str(c): mean(scores[f"covered_{c}"]) for c in COVERAGES},
        "crps": mean(scored("crps")),
        "interval_score_95": mean(scored("interval_score_95")),
        "fallback_share": mean(scored("is_fallback")),
        "random_walk_share": mean(scored("model") == RANDOM_WALK),
        "versions": sorted(scored("model_version").drop_nulls().unique().to_list()),
    }
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in summary.items()
    }


def _unscored_reasons(scores: pl.DataFrame) -> dict[str, int]:
    """By reason, ascending; rows from before there were reasons are all scored."""
    if "unscored_reason" not in scores.columns:
        return {}
    reasons = scores["unscored_reason"].drop_nulls().value_counts(name="count")
    return dict(sorted(reasons.iter_rows()))


def summarise_range(
    scores: pl.DataFrame, by_ticker: dict[str, dict[str, Any]], horizon: int = 1
) -> dict[str, Any]:
    """What only a whole range of many tickers can say.

    Args:
        scores: SCORE_SCHEMA.
        by_ticker: See `summarise_by_ticker`.
        horizon: Sessions from a forecast's own to its target.

    Returns:
        How many scored forecasts were issued and how many are hindsight (`scored`), how many
        tickers' intervals each test rejects, coverage in hard times, ranks and joint misses; see
        the functions that these numbers come from.
    """
    sums = session_sums(scores)
    issued = int((scored_columns(scores)("record") == ISSUED).sum())
    return {
        "scored": {ISSUED: issued, HINDSIGHT: int(sums["forecasts"].sum()) - issued},
        **count_rejections(by_ticker.values()),
        "coverage_by_regime": coverage_by_regime(sums, horizon),
        "coverage_after_gaps": coverage_after_gaps(scores),
        "worst_weeks": worst_weeks(sums),
        "worst_sessions": worst_sessions(sums),
        **rank_information(scores, horizon),
        "joint": joint_misses(sums),
    }


def summarise_by_ticker(scores: pl.DataFrame, horizon: int = 1) -> dict[str, dict[str, Any]]:
    """By ticker, ascending, with the p values of its intervals' tests."""
    # One group in memory at a time: all together they are a copy of the rows.
    found = {
        str(ticker): summarise(rows, horizon) | calibration_tests(rows, horizon)
        for (ticker,), rows in scores.group_by("ticker")
    }
    return dict(sorted(found.items()))


def summarise_by_month(scores: pl.DataFrame, horizon: int = 1) -> dict[str, dict[str, Any]]:
    """By the month of the target session, ascending."""
    months = scores.with_columns(month=pl.col("session").dt.strftime("%Y-%m"))
    found = {str(month): summarise(rows, horizon) for (month,), rows in months.group_by("month")}
    return dict(sorted(found.items()))
