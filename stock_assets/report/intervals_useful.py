"""Were the intervals useful: their scores over those of simple rules; below 1 ours are better."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from stock_assets.forecasting.baselines import BASELINES
from stock_assets.forecasting.long_run_variance import confidence_factor, ratio_error
from stock_assets.report.charts import (
    Estimate,
    Figure,
    Line,
    Rule,
    Sessions,
    estimate_chart,
    session_chart,
)
from stock_assets.report.numbers import number, percent
from stock_assets.report.rows import ReportRows

_LEAST_SESSIONS = 20
"""Fewer give no error bar that could be believed."""
BETTER, WORSE, ALIKE, UNKNOWN = "better", "worse", "can't be told apart", "not known"
_NAMES = {
    "expanding_normal": "normal law",
    "ewma_normal": "EWMA",
    "split_conformal": "conformal",
}
_SCORES = {"crps": "CRPS", "interval_score_95": "interval score"}


@dataclass(frozen=True)
class Ratio:
    """Our mean score over a rule's, with a 95 % confidence interval where one is known."""

    rule: str
    score: str
    ratio: float
    bounds: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return f"{self.score.replace('interval', 'int.')}, {self.rule}"

    @property
    def verdict(self) -> str:
        if self.bounds is None:
            return UNKNOWN
        if self.bounds[1] < 1:
            return BETTER
        return WORSE if self.bounds[0] > 1 else ALIKE


@dataclass(frozen=True)
class IntervalsUseful:
    says: str
    ratios: Sequence[Ratio]
    figures: Sequence[Figure]


def intervals_useful(rows: ReportRows) -> IntervalsUseful:
    ratios = interval_ratios(rows.beside, rows.about.horizon)
    if not ratios:
        return IntervalsUseful("There is too little history for a rule to compare with.", [], [])
    said = "; ".join(f"{r.score} {number(r.ratio, 3)} beside {r.rule}" for r in ratios)
    figures = [
        estimate_chart(
            "usefulness",
            "Our score over the rule's",
            f"Below 1.0 our intervals are the better: {said}.",
            [Estimate(r.name, r.ratio, r.bounds) for r in ratios],
            lambda v: number(v, 2),
            line_at=1.0,
        ),
        _over_time(rows.beside),
    ]
    better = sum(r.verdict == BETTER for r in ratios)
    worse = sum(r.verdict == WORSE for r in ratios)
    says = (
        f"Of {len(ratios)} comparisons, with 95 % confidence each, {better} say better, {worse} say"
        f" worse, {len(ratios) - better - worse} can't tell."
    )
    return IntervalsUseful(says, ratios, figures)


def interval_ratios(beside: pl.DataFrame, horizon: int = 1) -> list[Ratio]:
    """Per rule and score, of what `beside_baselines` gave."""
    found = []
    for rule in BASELINES:
        for score, words in _SCORES.items():
            column = f"{score}_{rule}"
            if column not in beside.columns:
                continue
            daily = _by_session(beside, score, column)
            own, other = daily["own"].to_numpy(), daily["other"].to_numpy()
            if len(own) and other.sum() > 0:
                ratio = float(own.sum() / other.sum())
                found.append(Ratio(_NAMES[rule], words, ratio, _bounds(own, other, ratio, horizon)))
    return found


def _by_session(beside: pl.DataFrame, own: str, other: str) -> pl.DataFrame:
    return (
        beside.drop_nulls(other)
        .group_by("session")
        .agg(own=pl.col(own).sum(), other=pl.col(other).sum())
        .sort("session")
    )


def _bounds(
    own: np.ndarray, other: np.ndarray, ratio: float, horizon: int
) -> tuple[float, float] | None:
    error = ratio_error(own, other, horizon) if len(own) >= _LEAST_SESSIONS else np.nan
    if np.isnan(error):
        return None
    half = confidence_factor(len(own), horizon) * error
    return ratio - half, ratio + half


def _over_time(beside: pl.DataFrame) -> Figure:
    """Of all sessions so far: the first ones are noise, so the line begins after some."""
    lines, sessions = [], []
    for rule, css in (("expanding_normal", "series-95"), ("ewma_normal", "series-80")):
        daily = _by_session(beside, "crps", f"crps_{rule}")
        ratio = daily["own"].cum_sum() / daily["other"].cum_sum()
        first = min(10, max(len(ratio) - 1, 0))
        sessions = daily["session"].to_list()[first:]
        lines.append(Line(f"beside {_NAMES[rule]}", css, ratio.to_list()[first:]))
    last = ", ".join(f"{line.name} {number(line.values[-1], 3)}" for line in lines if line.values)
    return session_chart(
        "usefulness-over-time",
        "CRPS ratio, all sessions so far",
        f"Our cumulated CRPS over the rule's; at the end {last}.",
        Sessions(sessions, lines, lambda v: number(v, 3), [Rule(1.0)]),
    )


def coverage_words(rows: ReportRows) -> str:
    """What the rules' own 95 % intervals held."""
    return ", ".join(
        f"{_NAMES[name]} {percent(found['coverage_95'], digits=1)}"
        for name, found in rows.baselines.items()
    )
