"""What nobody may be told, who is missing, and how old the versions are; worked out by hand."""

import math
from datetime import date
from typing import Any

import polars as pl
import pytest

from stock_assets.assets.forecast_checks import (
    check_age,
    check_intervals,
    check_tickers,
    impossible,
    refuse_impossible,
)
from stock_assets.errors import ImpossibleForecastError
from stock_assets.forecasting.forecast_schema import FORECAST_SCHEMA

DAY = date(2013, 2, 28)
SOUND = {
    "ticker": "IBM",
    "as_of_session": DAY,
    "forecast_close_usd": 100.0,
    "lower_95_usd": 90.0,
    "lower_80_usd": 94.0,
    "lower_50_usd": 97.0,
    "upper_50_usd": 103.0,
    "upper_80_usd": 106.0,
    "upper_95_usd": 110.0,
    "trained_through": date(2013, 1, 31),
}
ENDS = [name for name in SOUND if "er_" in name]


def forecasts(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([SOUND | row for row in rows], schema=FORECAST_SCHEMA)


@pytest.mark.parametrize(
    "row",
    [
        {},
        dict.fromkeys(ENDS),  # too little history to know one
        dict.fromkeys(ENDS, 100.0),  # a price that did not move has no width
        {"forecast_close_usd": 104.0},  # point and interval may be of two versions
    ],
)
def test_what_may_be_told(row: dict[str, Any]):
    assert impossible(forecasts(row)).is_empty()
    assert check_intervals(forecasts(row)).passed
    refuse_impossible(forecasts(row))


@pytest.mark.parametrize(
    "row",
    [
        {"lower_80_usd": 89.0},
        {"upper_50_usd": 107.0},
        {"lower_50_usd": 104.0},
        {"upper_95_usd": math.inf},
        {"lower_95_usd": math.nan},
        {"lower_95_usd": -1.0},
        {"upper_80_usd": None},
        {"forecast_close_usd": None},
        {"forecast_close_usd": math.nan},
        {"forecast_close_usd": 0.0},
    ],
)
def test_what_may_not_is_named_and_refused(row: dict[str, Any]):
    rows = forecasts({"ticker": "AAPL"}, row)
    result = check_intervals(rows)
    assert not result.passed
    assert result.description == "1 of 2 forecasts can't be"
    assert "IBM" in str(result.metadata["impossible"].value)
    assert "AAPL" not in str(result.metadata["impossible"].value)
    with pytest.raises(ImpossibleForecastError, match="the first of IBM from 2013-02-28"):
        refuse_impossible(rows)


def test_a_bar_without_a_forecast_is_named_with_its_reason():
    bars = pl.DataFrame(
        {"ticker": ["IBM", "AAPL"], "quarantine_reason": [None, "low is above open or close"]}
    )
    result = check_tickers(forecasts({}), bars, DAY)
    assert (result.passed, result.description) == (False, "2013-02-28: 1 forecasts of 2 bars")
    shown = str(result.metadata["not_forecast"].value)
    assert "| AAPL | low is above open or close |" in shown
    assert check_tickers(forecasts({}, {"ticker": "AAPL"}), bars, DAY).passed


@pytest.mark.parametrize(
    ("through", "passed"),
    [(date(2012, 12, 28), True), (date(2012, 12, 27), False), (None, True)],
)
def test_a_version_is_old_after_two_months(through: date | None, passed: bool):
    assert check_age(forecasts({"trained_through": through}), DAY).passed is passed
