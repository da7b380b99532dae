"""Three sentences made from the numbers: the points, the intervals, what is above a threshold."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from stock_assets.forecasting.long_run_variance import diebold_mariano_t
from stock_assets.forecasting.thresholds import Measure, Thresholds, known
from stock_assets.report.numbers import counted, number, percent
from stock_assets.report.rows import ReportRows

TELLING_T = 2.0
"""A Diebold-Mariano t within this of zero is what chance makes of two equal forecasts."""
BASELINE = "expanding_normal"
_NAMED = 6
UNITS = {
    Measure.RETURN: "in log return",
    Measure.USD: "in dollars",
    Measure.RATIO: "beside the random walk's",
}


def verdict(rows: ReportRows) -> tuple[str, str, str]:
    """Points, intervals, thresholds."""
    losses = interval_losses_t(rows.beside, rows.about.horizon)
    session, breaches = rows.breaches
    return (
        points_sentence(rows.summary),
        intervals_sentence(rows.summary, rows.baselines.get(BASELINE), losses),
        threshold_sentence(session, breaches, rows.thresholds, rows.about.window),
    )


def points_sentence(summary: Mapping[str, Any]) -> str:
    """How the point forecasts did beside "no change"."""
    if not summary["forecasts"]:
        return "No forecast has an outcome yet, so nothing can be said about the points."
    if summary["random_walk_share"] == 1:
        return (
            "Every point forecast was the random walk's “no change”, so the points are exactly as"
            f" good as it: an RMSE of {percent(summary['rmse_return'], digits=2)} per forecast. No"
            " model could be told from noise, and the program says so rather than pretend."
        )
    t = summary["dm_t"]
    numbers = (
        f"RMSE {percent(summary['rmse_return'])} against"
        f" {percent(summary['rmse_return_random_walk'])}, skill"
        f" {percent(summary['skill'], digits=2, sign=True)}, DM t {number(t)}"
    )
    if t is None:
        return f"One session is too few to tell the points from the random walk ({numbers})."
    if t >= TELLING_T:
        return f"The points were better than the random walk, and not by chance ({numbers})."
    if t <= -TELLING_T:
        return f"The points were worse than the random walk, and not by chance ({numbers})."
    return (
        f"The points can't be told from the random walk ({numbers}), which is the usual outcome for"
        " daily closes."
    )


def intervals_sentence(
    summary: Mapping[str, Any], baseline: Mapping[str, Any] | None, t: float | None
) -> str:
    """How the intervals did beside a normal law of each ticker's own past.

    Args:
        summary: See `summarise`.
        baseline: Of `summarise_baselines`, the expanding normal law's; None: nothing to compare.
        t: Diebold-Mariano's of both CRPS, positive where ours is the better.
    """
    coverage = summary["coverage"]["95"]
    if not summary["forecasts"] or coverage is None:
        return "No interval has an outcome yet, so nothing can be said about the intervals."
    held = f"the 95 % intervals held {percent(coverage, digits=1)} of the closes"
    if baseline is None:
        return (
            f"There is too little history for a normal law to compare the intervals with; {held}."
        )
    crps = baseline["crps_forecast"] / baseline["crps"] - 1
    score = baseline["interval_score_95_forecast"] / baseline["interval_score_95"] - 1
    numbers = (
        f"CRPS {percent(crps, digits=1, sign=True)}, 95 % interval score"
        f" {percent(score, digits=1, sign=True)}"
    )
    if t is None:
        return f"One session is too few to judge the intervals ({numbers}); {held}."
    beside = f"a normal law of each ticker's own past ({numbers}; less is better; DM t {number(t)})"
    if t >= TELLING_T:
        return f"The intervals were better than {beside}, and {held}."
    if t <= -TELLING_T:
        return f"The intervals were worse than {beside}, and {held}."
    return f"The intervals can't be told from {beside}; {held}."


def interval_losses_t(beside: pl.DataFrame, horizon: int = 1) -> float | None:
    """Diebold-Mariano's t of the sessions' mean CRPS; None where it can't be known."""
    daily = (
        beside.drop_nulls(f"crps_{BASELINE}")
        .group_by("session")
        .agg(own=pl.col("crps").mean(), other=pl.col(f"crps_{BASELINE}").mean())
        .sort("session")
    )
    return known(diebold_mariano_t(daily["own"].to_numpy(), daily["other"].to_numpy(), horizon))


def threshold_sentence(
    session: str, breaches: list[str], thresholds: Thresholds, window: int
) -> str:
    """What is above a limit at the newest session with a score."""
    if not any((*thresholds.of_all.values(), *map(len, thresholds.of_one.values()))):
        return "No threshold is set, so nothing is watched."
    if not session:
        return "Nothing was scored yet, so nothing can be above its threshold."
    rolling = f"rolling errors over {counted(window, 'session')} at {session}"
    if not breaches:
        return f"Nothing is above its threshold ({rolling})."
    named = ", ".join(breach_words(name) for name in breaches[:_NAMED])
    more = f" and {len(breaches) - _NAMED} more" if len(breaches) > _NAMED else ""
    return f"Above the threshold: {named}{more} ({rolling})."


def breach_words(name: str) -> str:
    """`AAPL return` as a person reads it."""
    ticker, _, measure = name.rpartition(" ")
    return f"{'all tickers' if ticker == 'POOLED' else ticker} {UNITS[Measure(measure)]}"
