"""Three sentences made from the numbers: the points, the intervals, what is above a threshold."""

from collections.abc import Mapping, Sequence
from typing import Any

from stock_assets.monitoring.thresholds import Measure, Thresholds
from stock_assets.report.intervals_useful import ALIKE, UNKNOWN, Ratio, interval_ratios
from stock_assets.report.numbers import counted, number, percent
from stock_assets.report.rows import ReportRows

TELLING_T = 2.0
"""A Diebold-Mariano t within this of zero is what chance makes of two equal forecasts."""
_NAMED = 6
UNITS = {
    Measure.RETURN: "in log return",
    Measure.USD: "in dollars",
    Measure.RATIO: "beside the random walk's",
}


def verdict(rows: ReportRows) -> tuple[str, str, str]:
    """Points, intervals, thresholds."""
    session, breaches = rows.breaches
    return (
        points_sentence(rows.summary),
        intervals_sentence(rows.summary, interval_ratios(rows.beside, rows.about.horizon)),
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


def intervals_sentence(summary: Mapping[str, Any], ratios: Sequence[Ratio]) -> str:
    """How the intervals did beside a normal law of each ticker's own past.

    Args:
        summary: See `summarise`.
        ratios: See `interval_ratios`; the first is the CRPS over the normal law's.
    """
    coverage = summary["coverage"]["95"]
    if not summary["forecasts"] or coverage is None:
        return "No interval has an outcome yet, so nothing can be said about the intervals."
    held = f"the 95 % intervals held {percent(coverage, digits=1)} of the closes"
    if not ratios:
        return (
            f"There is too little history for a normal law to compare the intervals with; {held}."
        )
    crps = ratios[0]
    numbers = f"CRPS {_less(crps.ratio)}"
    if crps.verdict == UNKNOWN or crps.bounds is None:
        return f"Too few sessions to judge the intervals beside a normal law ({numbers}); {held}."
    low, high = map(_less, crps.bounds)
    beside = (
        f"a normal law of each ticker's own past ({numbers}, 95 % confidence {low} .. {high}; less"
        " is better)"
    )
    if crps.verdict == ALIKE:
        return f"The intervals can't be told from {beside}; {held}."
    return f"The intervals were {crps.verdict} than {beside}, and {held}."


def _less(ratio: float) -> str:
    return percent(ratio - 1, digits=1, sign=True)


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
