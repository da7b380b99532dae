"""Our intervals held to what they say of themselves: on real prices and on those of a known law."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from stock_assets_tests.benchmarks.case import Measurement, Size, measured
from stock_assets_tests.benchmarks.walked import walk_forward

_GAPS, _GAP_SESSIONS = 0.002, 3
"""Chance per session that a simulated ticker falls out, and for how many."""
_REPORTED = (
    "forecasts",
    "sessions",
    "tickers",
    "coverage",
    "coverage_confidence",
    "kupiec",
    "independence",
    "christoffersen",
    "coverage_by_regime",
    "coverage_after_gaps",
    "worst_weeks",
    "joint",
)
"""Of a summary, what the table shows."""


def calibration_on_the_sample(_folder: Path, size: Size) -> Measurement:
    from stock_assets.market.sources.sample import FIRST_SESSION, LAST_SESSION, sample_bars
    from stock_assets_tests.benchmarks.simulated import CALENDAR

    first = date(size["first_year"], 5, 1)
    start = max(FIRST_SESSION, first.replace(year=first.year - 4))
    with measured() as result:
        bars = sample_bars().filter(pl.col("session") >= start)
        found = _calibration(walk_forward(bars, CALENDAR, first, LAST_SESSION))
    return result | found


def calibration_on_simulated_prices(_folder: Path, size: Size) -> Measurement:
    from stock_assets_tests.benchmarks.simulated import CALENDAR
    from stock_assets_tests.simulated_prices import Law, simulated_bars

    n_sessions, law = size["simulated_sessions"], Law(market_share=0.3)
    with measured() as result:
        bars = simulated_bars(CALENDAR, "2005-01-03", n_sessions, size["simulated_tickers"], 1, law)
        days = bars["session"].unique().sort()
        first = days[min(size["simulated_history"], n_sessions - 2)]
        found = _calibration(walk_forward(_with_gaps(bars), CALENDAR, first, days[-1]))
    return result | found


def _with_gaps(bars: pl.DataFrame) -> pl.DataFrame:
    """Without some spans of bars; sorted by ticker and session."""
    out = np.random.default_rng(1).random(bars.height) < _GAPS
    for _ in range(1, _GAP_SESSIONS):
        out[1:] |= out[:-1]
    return bars.filter(~pl.Series(out))


def _calibration(scores: pl.DataFrame) -> dict[str, Any]:
    from stock_assets.forecasting.intervals import COVERAGES
    from stock_assets.forecasting.summary import summarise, summarise_by_ticker, summarise_range

    found = summarise(scores) | summarise_range(scores, summarise_by_ticker(scores))
    errors = [abs(found["coverage"][str(c)] - c / 100) for c in COVERAGES]
    return {
        **{name: found[name] for name in _REPORTED},
        "first": str(scores["session"].min()),
        "last": str(scores["session"].max()),
        "farthest_coverage": max(errors),
    }
