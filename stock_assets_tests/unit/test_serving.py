"""Whose point forecast and whose intervals a row has: each part is served by itself."""

from datetime import date
from functools import cache

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyRegressor

from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.forecast import ServedModel, Serving, forecast_sessions
from stock_assets.forecasting.intervals import fit_intervals
from stock_assets.forecasting.model import ShrunkRegressor
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.market.sessions import load_calendar
from stock_assets_tests.simulated_prices import simulated_bars

XNYS = load_calendar("XNYS")


@cache
def features() -> pl.DataFrame:
    return build_features(simulated_bars(XNYS, "2010-01-04", 300, 5, seed=4, steps=12), XNYS)


def days() -> list[date]:
    return features()["session"].unique().sort().to_list()


def version(number: int, constant: float, sessions: int) -> ServedModel:
    """Forecasts `constant` volatilities; its intervals know the first `sessions`."""
    estimator = DummyRegressor(strategy="constant", constant=constant)
    estimator.fit(np.zeros((1, 1)), np.zeros(1))
    rows = labelled_rows(features(), XNYS).filter(pl.col("session") < days()[sessions])
    return ServedModel(
        ModelVersion(days()[sessions], number, True, "ridge"),
        ShrunkRegressor(estimator, 1.0),
        fit_intervals(rows),
    )


OLD, NEW = version(1, 0.1, 200), version(2, -0.3, 260)
LAW = ("forecast_volatility", "intervals_version")


def forecasts(serving: Serving, rows: pl.DataFrame | None = None) -> pl.DataFrame:
    known = features() if rows is None else rows
    return forecast_sessions(known, {days()[-2]: days()[-1]}, serving, XNYS)


def width(rows: pl.DataFrame) -> list[float]:
    ratio = (rows["upper_95_usd"] / rows["lower_95_usd"]).log()
    return [round(value, 9) for value in ratio]


def test_newer_intervals_stand_around_an_older_versions_point():
    mixed = forecasts(Serving(OLD, NEW))
    old, new = forecasts(Serving(OLD, OLD)), forecasts(Serving(NEW, NEW))
    assert mixed["model_version"].to_list() == [1] * 5
    assert mixed["trained_through"].unique().to_list() == [days()[200]]
    assert mixed["intervals_version"].to_list() == [2] * 5
    assert mixed["forecast_return"].equals(old["forecast_return"])
    assert mixed.select(LAW).equals(new.select(LAW))
    assert width(mixed) == width(new) != width(old)
    assert not mixed["is_fallback"].any()
    assert mixed["fallback_reason"].null_count() == 5


def test_without_an_approved_point_the_random_walk_has_the_versions_intervals():
    rows = forecasts(Serving(None, NEW))
    assert rows["model"].unique().to_list() == ["random_walk"]
    assert rows["model_version"].null_count() == rows["trained_through"].null_count() == 5
    assert (rows["forecast_return"] == 0).all()
    assert width(rows) == width(forecasts(Serving(NEW, NEW)))
    assert rows["fallback_reason"].unique().to_list() == [
        "no version with these settings and an approved point forecast was trained before it"
    ]
    assert rows["is_fallback"].all()


def test_without_approved_intervals_the_point_has_the_normal_laws():
    rows = forecasts(Serving(OLD, None))
    assert rows["model_version"].to_list() == [1] * 5
    assert rows["intervals_version"].null_count() == 5
    expected = 2 * 1.959964 * rows["volatility_1d"]
    assert width(rows) == pytest.approx(expected.to_list(), rel=1e-6)
    assert (rows["forecast_return"] / rows["volatility_1d"]).to_list() == pytest.approx([0.1] * 5)
    assert not rows["is_fallback"].any()


def test_rows_whose_point_no_version_made_are_fallbacks():
    young = features().with_columns(
        pl.when(pl.col("ticker") == "T000")
        .then(None)
        .otherwise("volume_surprise")
        .alias("volume_surprise")
    )
    columns = ("ticker", "model_version", "intervals_version", "is_fallback")
    for serving, expected in (
        (Serving(OLD, NEW), ("T000", None, 2, True)),
        (Serving(OLD, None), ("T000", None, None, True)),
        (Serving(), ("T000", None, None, True)),
    ):
        assert forecasts(serving, young).select(columns).row(0) == expected


def test_the_forecast_close_is_the_geometric_mean_of_the_coming_close():
    """Of the law that is forecast: fifty equally likely closes around the point."""
    for row in forecasts(Serving(OLD, NEW)).iter_rows(named=True):
        closes = row["close_usd"] * np.exp(np.array(row["quantile_returns"]))
        around = np.exp(np.log(closes).mean())
        centred = np.array(row["quantile_returns"]).mean() - row["forecast_return"]
        assert row["forecast_close_usd"] == pytest.approx(around * np.exp(-centred))
        assert row["forecast_close_usd"] < (closes * np.exp(-centred)).mean()
