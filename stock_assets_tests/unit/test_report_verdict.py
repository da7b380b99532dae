"""The three sentences and the lights, for each case that can be."""

from dataclasses import replace
from datetime import date
from typing import Any

import polars as pl
import pytest

from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.monitoring.thresholds import POOLED, Measure, Thresholds
from stock_assets.report.heading import heading
from stock_assets.report.intervals_useful import Ratio
from stock_assets.report.next_session import next_session
from stock_assets.report.verdict import (
    intervals_sentence,
    points_sentence,
    threshold_sentence,
    verdict,
)
from stock_assets_tests.simulated_report import report_rows

SUMMARY: dict[str, Any] = {
    "forecasts": 500,
    "random_walk_share": 0.25,
    "rmse_return": 0.0199,
    "rmse_return_random_walk": 0.02,
    "skill": 0.005,
    "dm_t": 0.4,
    "coverage": {"50": 0.5, "80": 0.8, "95": 0.9401},
}
NUMBERS = "RMSE 1.990% against 2.000%, skill +0.50%"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dm_t": 2.4}, f"better than the random walk, and not by chance ({NUMBERS}, DM t 2.40)."),
        ({"dm_t": -2.0}, "The points were worse than the random walk, and not by chance ("),
        ({"dm_t": 1.99}, f"can't be told from the random walk ({NUMBERS}, DM t 1.99), which is"),
        ({"dm_t": None}, "One session is too few to tell the points from the random walk"),
        ({"random_walk_share": 1.0}, "an RMSE of 1.99% per forecast. No model could be told from"),
        ({"forecasts": 0}, "No forecast has an outcome yet, so nothing can be said about the poi"),
    ],
)
def test_the_points_in_words(values: dict[str, Any], said: str):
    assert said in points_sentence(SUMMARY | values)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ((0.96, 0.999), "The intervals were better than a normal law of each ticker's own past"
                        " (CRPS -2.0%, 95 % confidence -4.0% .. -0.1%; less is better), and the"
                        " 95 % intervals held 94.0% of the closes."),
        ((1.001, 1.04), "The intervals were worse than a normal law"),
        ((0.95, 1.01), "The intervals can't be told from a normal law"),
        (None, "Too few sessions to judge the intervals beside a normal law (CRPS -2.0%); the"),
    ],
)  # fmt: skip
def test_the_intervals_in_words(bounds: tuple[float, float] | None, said: str):
    ratios = [Ratio("normal law", "CRPS", 0.98, bounds)]
    assert intervals_sentence(SUMMARY, ratios).startswith(said)


def test_intervals_without_anything_to_compare_or_any_outcome():
    assert intervals_sentence(SUMMARY, []) == (
        "There is too little history for a normal law to compare the intervals with; the 95 %"
        " intervals held 94.0% of the closes."
    )
    none = SUMMARY | {"coverage": {"95": None}}
    assert "No interval has an outcome yet" in intervals_sentence(none, [])


def test_thresholds_in_words():
    limits = Thresholds({Measure.RETURN: 0.04})
    assert threshold_sentence("2013-03-01", [], limits, 20) == (
        "Nothing is above its threshold (rolling errors over 20 sessions at 2013-03-01)."
    )
    names = ["FB return", f"{POOLED} ratio", *(f"T{n} usd" for n in range(6))]
    assert threshold_sentence("2013-03-01", names, limits, 20) == (
        "Above the threshold: FB in log return, all tickers beside the random walk's, T0 in"
        " dollars, T1 in dollars, T2 in dollars, T3 in dollars and 2 more (rolling errors over 20"
        " sessions at 2013-03-01)."
    )
    assert threshold_sentence("", [], limits, 20).startswith("Nothing was scored yet")
    assert threshold_sentence("2013-03-01", [], Thresholds(), 20).startswith("No threshold is set")


def test_the_verdict_follows_from_the_rows(xnys: ExchangeCalendar):
    tickers = [f"T{n}" for n in range(20)]
    far_too_wide = verdict(report_rows(xnys, tickers, width=3.0, limit=0.005))
    assert far_too_wide[0].startswith("Every point forecast was the random walk's")
    assert far_too_wide[1].startswith("The intervals were worse than a normal law")
    assert far_too_wide[1].endswith("held 100.0% of the closes.")
    assert far_too_wide[2].startswith("Above the threshold: T0 in log return, T1 in log return")
    right = verdict(report_rows(xnys, tickers))
    assert right[2].startswith("Nothing is above its threshold")
    assert [s[:15] for s in verdict(report_rows(xnys, ["A"], sessions=0))] == [
        "No forecast has",
        "No interval has",
        "Nothing was sco",
    ]


def lights(rows: Any) -> dict[str, tuple[str, str]]:
    return {light.name: (light.state, light.says) for light in heading(rows).lights}


def test_lights_of_a_dataset_in_order(xnys: ExchangeCalendar):
    rows = report_rows(xnys, ["A", "B"])
    assert lights(rows) == {
        "Data": ("good", "prices through 2013-03-01, where the source ends"),
        "Model": ("good", "the random walk is champion, intervals by version 1"),
        "Alerts": ("good", "nothing is above its threshold"),
    }
    assert "The random walk is champion" in heading(rows).random_walk
    own = report_rows(xnys, ["A"], model="random_forest", goes_on=True)
    assert lights(own)["Model"] == ("good", "random forest serves, intervals by version 1")
    assert lights(own)["Data"] == ("good", "prices through 2013-03-01, the newest there is")
    assert heading(own).random_walk == ""


def test_lights_of_old_prices_breaches_and_no_version(xnys: ExchangeCalendar):
    def without_version(forecasts: pl.DataFrame) -> pl.DataFrame:
        return forecasts.with_columns(
            is_fallback=True,
            model_version=pl.lit(None, pl.Int64),
            intervals_version=pl.lit(None, pl.Int64),
            trained_through=pl.lit(None, pl.Date),
            fallback_reason=pl.lit("no approved version"),
        )

    rows = report_rows(xnys, ["A"], edit=without_version, limit=0.001)
    late = replace(
        rows,
        about=replace(
            rows.about,
            newest_due=date(2013, 3, 5),
            sessions=xnys.between(date(2012, 12, 3), date(2013, 3, 5)),
        ),
    )
    assert lights(late) == {
        "Data": ("bad", "prices through 2013-03-01; 2 sessions behind 2013-03-05"),
        "Model": ("bad", "no version serves: the random walk forecasts in its place"),
        "Alerts": ("bad", "1 rolling error above its limit"),
    }
    assert heading(late).random_walk.startswith("No version serves yet")


def test_intervals_that_no_version_made_are_said(xnys: ExchangeCalendar):
    rows = report_rows(
        xnys, ["A"], edit=lambda f: f.with_columns(intervals_version=pl.lit(None, pl.Int64))
    )
    assert lights(rows)["Model"] == (
        "warning",
        "the random walk is champion; no intervals are approved, a normal law's stand in",
    )
    assert [row.made_by for row in next_session(rows).rows] == ["random walk v1, normal law"]


def test_a_quarantined_bar_of_the_newest_session_is_no_green_light(xnys: ExchangeCalendar):
    def odd(bars: pl.DataFrame) -> pl.DataFrame:
        newest = (pl.col("session") == date(2013, 3, 1)) & (pl.col("ticker") == "B")
        return bars.with_columns(quarantine_reason=pl.when(newest).then(pl.lit("too high")))

    assert lights(report_rows(xnys, ["A", "B"], edit_bars=odd))["Data"] == (
        "warning",
        "1 bar of 2013-03-01 in quarantine",
    )
