"""Were the intervals right: coverage beside its nominal value, PIT, coverage over time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from stock_assets.forecasting.calibration import calibration_tests, count_rejections
from stock_assets.forecasting.intervals import COVERAGES, GRID
from stock_assets.forecasting.session_sums import session_sums
from stock_assets.report.charts import (
    Estimate,
    Figure,
    Line,
    Rule,
    Sessions,
    column_chart,
    estimate_chart,
    session_chart,
)
from stock_assets.report.numbers import percent
from stock_assets.report.rows import ReportRows

_BINS = 10


@dataclass(frozen=True)
class IntervalsRight:
    """`says`: one plain sentence a part; `figures`: none before something was scored."""

    says: Sequence[str]
    figures: Sequence[Figure]


def intervals_right(rows: ReportRows) -> IntervalsRight:
    summary, pit = rows.summary, pit_shares(rows.grids, rows.scores)
    coverage = {c: summary["coverage"][str(c)] for c in COVERAGES}
    if coverage[95] is None:
        return IntervalsRight(["No interval has an outcome yet."], [])
    confidence = summary["coverage_confidence"]
    says = [_judged(c, coverage[c], confidence[str(c)]) for c in COVERAGES]
    tested = count_rejections(
        calibration_tests(one, rows.about.horizon) for _, one in rows.scores.group_by("ticker")
    )
    if tested["kupiec"]["95"]["tickers"]:
        says.append(
            f"Kupiec's test rejects the 95 % coverage of {tested['kupiec']['95']['rejected']} of"
            f" {tested['kupiec']['95']['tickers']} tickers, Christoffersen's"
            f" {tested['christoffersen']['95']['rejected']}; by chance it would be"
            f" {tested['kupiec']['95']['expected_by_chance']:.1f}."
        )
    figures = [
        estimate_chart(
            "coverage",
            "Nominal and realised coverage",
            "; ".join(says[: len(COVERAGES)]),
            [Estimate(f"{c} % interval", coverage[c], confidence[str(c)], c / 100)
             for c in COVERAGES],
            lambda v: percent(v, digits=0),
        )
    ]  # fmt: skip
    if pit:
        figures.append(_pit_figure(pit, rows.grids, rows.scores))
    figures.append(_rolling(rows))
    return IntervalsRight(says, figures)


def _judged(coverage: int, share: float, bounds: Sequence[float] | None) -> str:
    said = f"The {coverage} % interval held {percent(share, digits=1)} of the closes"
    if bounds is None:
        why = "too few sessions" if 0 < share < 1 else "all on one side"
        return f"{said}; {why} to say how far chance reaches."
    inside = bounds[0] <= coverage / 100 <= bounds[1]
    reach = f"95 % confidence {percent(bounds[0], digits=1)} .. {percent(bounds[1], digits=1)}"
    if inside:
        return f"{said} ({reach}): as it should."
    return f"{said} ({reach}): too {'wide' if share > coverage / 100 else 'narrow'}."


def pit_shares(grids: pl.DataFrame, scores: pl.DataFrame) -> list[float]:
    """Share of the outcomes in each tenth of their forecast distribution; empty for none.

    Args:
        grids: `ticker, target_session, quantile_returns` at GRID.
        scores: SCORE_SCHEMA.
    """
    both = (
        grids.drop_nulls("quantile_returns")
        .join(
            scores.select("ticker", "realised_return", target_session="session"),
            on=["ticker", "target_session"],
        )
        .drop_nulls("realised_return")
    )
    if both.is_empty():
        return []
    quantiles = both["quantile_returns"].list.to_array(len(GRID)).to_numpy()
    below = (quantiles <= both["realised_return"].to_numpy()[:, None]).sum(axis=1)
    # The quantiles lie at 1 %, 3 %, …: so many below leave so many fiftieths below the outcome.
    tenth = np.minimum(below * _BINS // len(GRID), _BINS - 1)
    counts = np.bincount(tenth, minlength=_BINS)
    return [float(share) for share in counts / counts.sum()]


def _pit_figure(shares: Sequence[float], grids: pl.DataFrame, scores: pl.DataFrame) -> Figure:
    columns = [(f"{n}", share) for n, share in enumerate(shares, start=1)]
    figure = column_chart(
        "pit",
        "Where outcomes fell (PIT)",
        "Share of the outcomes in each tenth of their forecast distribution, lowest first; a right"
        f" distribution has 10 % in each: {', '.join(percent(s, digits=1) for s in shares)}.",
        columns,
        lambda v: percent(v, digits=0),
        1 / len(shares),
    )
    of, every = grids["target_session"].n_unique(), scores["session"].n_unique()
    return figure if of >= every else replace(figure, note=f"Of the newest {of} sessions.")


def _rolling(rows: ReportRows) -> Figure:
    sums, window = session_sums(rows.scores), rows.about.window
    # A few sessions would be noise that sets the scale; a short range has nothing else.
    least = max(min(window, sums.height) // 2, 1)
    lines = []
    for coverage in COVERAGES:
        hits, judged = (
            sums[f"{name}_{coverage}"].rolling_sum(window, min_samples=least)
            for name in ("hits", "judged")
        )
        values = [h / j if h is not None and j else None for h, j in zip(hits, judged, strict=True)]
        lines.append(Line(f"{coverage} %", f"series-{coverage}", values))
    last = ", ".join(f"{line.name} interval {percent(line.values[-1], digits=0)}" for line in lines)
    return session_chart(
        "rolling-coverage",
        f"Coverage over {window} sessions",
        f"Share of closes inside over the last {window} sessions; at the end: {last}.",
        Sessions(
            sums["session"].to_list(),
            lines,
            lambda v: percent(v, digits=0),
            [Rule(c / 100) for c in COVERAGES],
        ),
    )
