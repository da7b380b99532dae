"""Were the points useful: the loss that they saved beside the random walk, when and for whom."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from stock_assets.forecasting.evaluation import is_scored
from stock_assets.forecasting.session_sums import session_sums
from stock_assets.report.charts import Figure, Line, Rule, Sessions, session_chart
from stock_assets.report.numbers import percent
from stock_assets.report.rows import ReportRows

TICKERS = 24
"""Tickers of the map: of more, the half that gained and the half that lost most."""
MONTHS = 12
_STEPS = (0.002, 0.01, 0.03)


@dataclass(frozen=True)
class Cell:
    """A month's skill of a ticker; `css` is its colour, `text` says the same."""

    text: str
    css: str


@dataclass(frozen=True)
class PointsUseful:
    says: str
    figures: Sequence[Figure]
    months: Sequence[str]
    cells: Sequence[tuple[str, Sequence[Cell]]]
    left_out: int


def points_useful(rows: ReportRows) -> PointsUseful:
    summary = rows.summary
    if not summary["forecasts"]:
        return PointsUseful("No forecast has an outcome yet.", [], [], [], 0)
    if summary["random_walk_share"] == 1:
        says = (
            "Every point was the random walk's, so nothing was gained and nothing lost: the line"
            " is flat at zero, and so is every month's skill."
        )
    else:
        share = percent(summary["random_walk_share"], digits=0)
        says = (
            f"Skill is {percent(summary['skill'], sign=True, digits=2)} over the range; {share} of"
            " the forecasts were the random walk's own."
        )
    months, cells, left_out = skill_map(rows.scores)
    return PointsUseful(says, [_gained(rows)], months, cells, left_out)


def _gained(rows: ReportRows) -> Figure:
    sums = session_sums(rows.scores)
    # Per mean squared error of the random walk: one unit is one session of its usual loss.
    usual = sums["squared_error_random_walk"].sum() / max(int(sums["forecasts"].sum()), 1) or 1.0
    saved = (sums["squared_error_random_walk"] - sums["squared_error"]) / sums["forecasts"] / usual
    line = saved.cum_sum().to_list()
    return session_chart(
        "gained",
        "Loss saved beside the random walk, summed up",
        "In sessions of the random walk's usual squared error; rising is better. At the end"
        f" {line[-1] if line else 0:+.2f}.",
        Sessions(
            sums["session"].to_list(),
            [Line("saved so far", "series-95", line)],
            lambda v: f"{v:+.2g}" if v else "0",
            [Rule(0.0)],
            from_zero=True,
        ),
    )


def skill_map(
    scores: pl.DataFrame,
) -> tuple[list[str], list[tuple[str, Sequence[Cell]]], int]:
    """Skill by ticker and month of the target.

    Returns:
        The newest months, a row of cells per ticker, and how many tickers were left out.
    """
    own, naive = (
        pl.col("error_return").pow(2).sum(),
        pl.col("error_return_random_walk").pow(2).sum(),
    )
    skill = (1 - (own / naive).sqrt()).alias("skill")
    scored = scores.filter(is_scored()).with_columns(month=pl.col("session").dt.strftime("%Y-%m"))
    months = sorted(scored["month"].unique())[-MONTHS:]
    overall = scored.group_by("ticker").agg(skill).sort("skill", "ticker", descending=True)
    tickers = overall["ticker"].to_list()
    if len(tickers) > TICKERS:
        tickers = [*tickers[: TICKERS // 2], *tickers[-TICKERS // 2 :]]
    else:
        tickers.sort()
    by_cell = {
        (ticker, month): value
        for ticker, month, value in scored.filter(
            pl.col("ticker").is_in(tickers) & pl.col("month").is_in(months)
        )
        .group_by("ticker", "month")
        .agg(skill)
        .iter_rows()
    }
    cells: list[tuple[str, Sequence[Cell]]] = [
        (ticker, [_cell(by_cell.get((ticker, month))) for month in months]) for ticker in tickers
    ]
    return months, cells, overall.height - len(tickers)


def _cell(skill: float | None) -> Cell:
    if skill is None or skill != skill:  # noqa: PLR0124  # NaN: a ticker whose price stood still
        return Cell("-", "heat-none")
    step = sum(abs(skill) >= limit for limit in _STEPS)
    side = "up" if skill > 0 else "down"
    return Cell(f"{skill:+.1%}" if skill else "0", f"heat-{side}-{step}" if step else "heat-0")
