"""Intervals against a law that is known, and against worked examples."""

import json
import math
from copy import deepcopy
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.dummy import DummyRegressor

from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.forecast import ServedModel, Serving, forecast_sessions
from stock_assets.forecasting.intervals import (
    ADAPTIVE_SESSIONS,
    BOUNDS,
    IntervalModel,
    adapt,
    adaptive_history,
    empirical_quantiles,
    fit_intervals,
    newest_returns,
    normal_quantiles,
)
from stock_assets.forecasting.model import ShrunkRegressor
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.forecasting.splits import labelled_rows, rows_between
from stock_assets.forecasting.volatility import young_volatility
from stock_assets.market.bars import PRICES
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets_tests.simulated_prices import simulated_bars

TICKERS, SESSIONS, TRAIN, REFIT = 100, 1200, 756, 63
XNYS = load_calendar("XNYS")


def served(intervals: IntervalModel, through: date) -> Serving:
    walk = ShrunkRegressor(DummyRegressor(strategy="constant", constant=0.0), 0.0)
    version = ServedModel(ModelVersion(through, 1, True, "random_walk"), walk, intervals)
    return Serving(version, version)


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return build_features(simulated_bars(XNYS, "2010-01-04", SESSIONS, TICKERS, seed=2), XNYS)


@pytest.fixture(scope="module")
def walked(features: pl.DataFrame) -> pl.DataFrame:
    return walk(features)


def walk(features: pl.DataFrame, horizon: int = 1) -> pl.DataFrame:
    """Forecasts of every session after the train sessions, refitted each quarter, with outcomes."""
    days = features["session"].unique().sort().to_list()
    rows, parts = labelled_rows(features, XNYS, horizon), []
    for start in range(63 + TRAIN, len(days) - horizon, REFIT):
        known = rows_between(rows, days[start - TRAIN], days[start - 1 - horizon])
        block = days[start : start + REFIT]
        history = features.filter(
            pl.col("session").is_between(days[start - adaptive_history(horizon)], block[-1])
        )
        targets = {day: XNYS.offset(day, horizon) for day in block}
        model = served(fit_intervals(known, horizon), days[start - 1])
        parts.append(forecast_sessions(history, targets, model, XNYS, horizon))
    outcome = rows.select("ticker", pl.col("session").alias("as_of_session"), "return_next")
    return pl.concat(parts).join(outcome, on=["ticker", "as_of_session"])


def covered(level: int) -> pl.Expr:
    outcome = pl.col("close_usd") * pl.col("return_next").exp()
    return outcome.is_between(f"lower_{level}_usd", f"upper_{level}_usd")


@pytest.mark.parametrize("level", [50, 80, 95])
def test_coverage_of_a_known_law_is_right_within_half_a_point(walked: pl.DataFrame, level: int):
    assert walked.height > 35_000
    share = walked.select(covered(level).mean()).item()
    assert share == pytest.approx(level / 100, abs=0.005)


def test_coverage_over_five_sessions_is_right_within_half_a_point(features: pl.DataFrame):
    walked = walk(features, horizon=5)
    assert walked.height > 35_000
    for level in (50, 80, 95):
        share = walked.select(covered(level).mean()).item()
        assert share == pytest.approx(level / 100, abs=0.005)


def test_no_ticker_is_left_behind(walked: pl.DataFrame):
    """One interval for all, or a fixed one per ticker, would miss some tickers by far."""
    shares = walked.group_by("ticker").agg(share=covered(95).mean())["share"]
    # 380 forecasts a ticker: chance alone has a standard deviation of 1.1 points.
    assert ((shares - 0.95).abs() <= 0.025).mean() >= 0.95


def test_crps_is_below_the_expanding_normals(walked: pl.DataFrame, features: pl.DataFrame):
    quantiles = np.vstack(walked["quantile_returns"].to_list())
    levels = (np.arange(50) + 0.5) / 50
    missed = quantiles - walked["return_next"].to_numpy()[:, None]
    own = 2 * np.mean(((missed > 0) - levels) * missed)
    past = features.sort("ticker", "session").with_columns(
        n=pl.col("return_1d").is_not_null().cum_sum().over("ticker"),
        total=pl.col("return_1d").fill_null(0).cum_sum().over("ticker"),
        squares=(pl.col("return_1d").fill_null(0) ** 2).cum_sum().over("ticker"),
    )
    normal = walked.join(
        past, left_on=["ticker", "as_of_session"], right_on=["ticker", "session"]
    ).select(
        "return_next",
        centre=pl.col("total") / pl.col("n"),
        width=(pl.col("squares") / pl.col("n") - (pl.col("total") / pl.col("n")) ** 2).sqrt(),
    )
    from scipy.stats import norm

    z = ((normal["return_next"] - normal["centre"]) / normal["width"]).to_numpy()
    closed = z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi)
    assert own < 0.99 * np.mean(normal["width"].to_numpy() * closed)


def test_a_session_alone_has_the_intervals_that_a_backfill_gives_it(
    features: pl.DataFrame, walked: pl.DataFrame
):
    days = features["session"].unique().sort().to_list()
    start = 63 + TRAIN
    rows = rows_between(labelled_rows(features, XNYS), days[start - TRAIN], days[start - 2])
    model = served(fit_intervals(rows), days[start - 1])
    day = days[start + 17]
    window = features.filter(
        pl.col("session").is_between(days[start + 17 - ADAPTIVE_SESSIONS], day)
    )
    alone = forecast_sessions(window, {day: XNYS.next_session(day)}, model, XNYS)
    backfilled = walked.filter(pl.col("as_of_session") == day).drop("return_next")
    assert alone.equals(backfilled)


def test_a_ticker_too_young_for_features_has_the_markets_intervals(features: pl.DataFrame):
    days = features["session"].unique().sort().to_list()
    young = features.filter(
        (pl.col("ticker") != "T000") | (pl.col("session") == days[-2])
    ).with_columns(
        pl.when(pl.col("ticker") == "T000").then(None).otherwise(pl.col(name)).alias(name)
        for name in features.columns
        if name not in ("ticker", "session", "close_usd") and not name.startswith("market")
    )
    model = served(fit_intervals(labelled_rows(young, XNYS)), days[-3])
    row = forecast_sessions(young, {days[-2]: days[-1]}, model, XNYS).row(0, named=True)
    assert (row["ticker"], row["model_version"], row["intervals_version"]) == ("T000", None, 1)
    assert row["is_fallback"]
    assert row["fallback_reason"] == "history too short for features"
    assert row["lower_95_usd"] < row["lower_50_usd"] < row["close_usd"] < row["upper_95_usd"]
    assert row["volatility_1d"] is None


def test_a_young_ticker_is_as_wild_as_its_few_bars_and_the_market_say(xnys: ExchangeCalendar):
    days = list(xnys.between(date(2012, 1, 3), date(2012, 1, 5)))
    rows = pl.DataFrame(
        {
            "ticker": "A",
            "session": days,
            "range_variance_1d": [None, 0.0008, 0.0012],
            "market_log_variance_22": np.log(0.0001),
        }
    )
    # Two variances and five times the market's, over seven; on the first session the market's only.
    expected = [0.01, math.sqrt(0.0013 / 6), math.sqrt(0.0025 / 7)]
    np.testing.assert_allclose(young_volatility(rows, rows, xnys), expected)


def test_a_halt_of_120_sessions_is_no_wild_session(xnys: ExchangeCalendar):
    """A share listed for 20 sessions is halted for 120 and comes back at twice its price."""
    sessions = list(xnys.between(date(2010, 1, 4), date(2010, 12, 31)))
    bars = simulated_bars(xnys, "2010-01-04", 160, 5, seed=4)
    young = (pl.col("ticker") == "T000").and_
    back = pl.col("session") >= sessions[140]
    halted = bars.filter(
        ~young(pl.col("session").is_between(sessions[20], sessions[139]))
    ).with_columns(pl.when(young(back)).then(pl.col(c) * 2).otherwise(c).alias(c) for c in PRICES)
    features = build_features(halted, xnys)
    rows = features.filter(young(back))
    usual = build_features(bars, xnys).filter(young(back))["volatility_1d"].mean()
    found = young_volatility(rows, features, xnys)
    assert rows["range_variance_1d"][0] is None
    assert rows["return_1d"][0] is None
    assert 0.5 * usual < found.max() < 2 * usual


def test_a_return_over_several_sessions_counts_as_that_of_one_of_them(xnys: ExchangeCalendar):
    """After three missed sessions the return is that of four: half of it in units of one."""
    bars = simulated_bars(xnys, "2010-01-04", 120, 1, seed=4)
    sessions = bars["session"].to_list()
    kept = bars.filter(~pl.col("session").is_in(sessions[100:103]))
    features = build_features(kept, xnys)
    row = features.row(by_predicate=pl.col("session") == sessions[103], named=True)
    assert row["return_1d"] == pytest.approx(
        math.log(bars["close"][103] / bars["close"][99]), rel=1e-12
    )
    assert row["scaled_return_1d"] == pytest.approx(row["return_1d"] / 2 / row["volatility_1d"])
    night = math.log(bars["open"][103] / bars["close"][99]) / 2
    assert row["overnight_return"] == pytest.approx(night / row["volatility_1d"])


def test_a_session_without_any_row_leaves_a_daily_run_equal_to_a_backfill(
    features: pl.DataFrame,
):
    """Its neighbours lie two sessions apart, whichever of them the history begins with."""
    days = features["session"].unique().sort().to_list()
    holey = features.filter(~pl.col("session").is_in([days[500], days[700]]))
    model = served(fit_intervals(labelled_rows(holey, XNYS)), days[750])
    targets = {day: XNYS.next_session(day) for day in days[755:760]}
    backfilled = forecast_sessions(holey, targets, model, XNYS)
    for day, target in targets.items():
        window = holey.filter(pl.col("session") >= XNYS.offset(day, -adaptive_history(1)))
        alone = forecast_sessions(
            window.filter(pl.col("session") <= day), {day: target}, model, XNYS
        )
        assert alone.equals(backfilled.filter(pl.col("as_of_session") == day))


def test_no_return_is_measured_from_a_session_without_a_row(xnys: ExchangeCalendar):
    days = list(xnys.between(date(2012, 1, 3), date(2012, 1, 6)))
    rows = pl.DataFrame(
        {"ticker": "A", "session": [days[0], days[2], days[3]], "return_1d": [0.1, 0.2, 0.3]}
    )
    found = newest_returns(rows, np.full(3, 0.1), [days[3]], ["A"], xnys)
    np.testing.assert_allclose(found[-3:, 0, 0], [np.nan, np.nan, 3.0])


def test_bounds_move_by_the_steps_of_the_pinball_loss():
    start = np.array([[-0.7, 0.7, -1.3, 1.3, -2.0, 2.0]])
    # Beyond all upper bounds: each moves by step * level, lower ones too (they were not hit).
    after = adapt(start, np.array([[3.0]]))
    expected = start + np.array([[0.015 * 0.25, 0.015 * 0.75, 0.03 * 0.1, 0.03 * 0.9,
                                  0.075 * 0.025, 0.075 * 0.975]])  # fmt: skip
    np.testing.assert_allclose(after, expected, atol=1e-12)
    np.testing.assert_array_equal(adapt(start, np.array([[np.nan]])), start)


def test_bounds_find_their_level_when_the_law_has_changed():
    """Returns twice as wide as the version believes: 95 % bounds go half of the way and more."""
    wide = 2 * np.random.default_rng(1).standard_normal((ADAPTIVE_SESSIONS, 400))
    normal = np.array([normal_quantiles().bounds])
    followed = adapt(np.repeat(normal, 400, axis=0), wide).mean(axis=0)
    before, after = normal[0, 5], followed[5]
    assert before == pytest.approx(1.96, abs=0.001)
    assert 2.94 < after < 3.92
    ascending = followed[np.argsort(BOUNDS)]
    assert (np.diff(ascending) > 0).all()


def test_newest_returns_are_those_known_at_the_session(xnys: ExchangeCalendar):
    days = list(xnys.between(date(2012, 1, 3), date(2012, 1, 9)))
    rows = pl.DataFrame(
        {
            "ticker": ["A"] * 5 + ["B"] * 4,
            "session": [*days, *(day for day in days if day != days[2])],
            "return_1d": [None, 0.01, 0.02, 0.03, 0.04, None, 0.1, 0.2, 0.3],
        }
    )
    found = newest_returns(rows, np.full(9, 0.1), [days[3], days[4]], ["A", "B"], xnys)
    assert found.shape == (250, 2, 2)
    np.testing.assert_allclose(found[-3:, 0, 0], [0.1, 0.2, 0.3])
    np.testing.assert_allclose(found[-3:, 1, 0], [0.2, 0.3, 0.4])
    # B had no bar on the third day: its next return spans two sessions and is no one-day return.
    np.testing.assert_allclose(found[-3:, 1, 1], [np.nan, np.nan, 3.0])


def test_newest_returns_over_two_sessions_overlap(xnys: ExchangeCalendar):
    days = list(xnys.between(date(2012, 1, 3), date(2012, 1, 10)))
    rows = pl.DataFrame(
        {
            "ticker": "A",
            "session": days,
            "return_1d": [None, 0.01, 0.02, 0.03, 0.04, 0.05],
        }
    )
    units = np.array([0.1, 0.1, 0.1, 0.2, 0.2, 0.2])
    found = newest_returns(rows, units, [days[4], days[5]], ["A"], xnys, horizon=2)
    np.testing.assert_allclose(found[-3:, 0, 0], [0.3, 0.5, 0.7])
    np.testing.assert_allclose(found[-3:, 1, 0], [0.5, 0.7, 0.45])
    assert np.isnan(found[:-3, 0]).all()


def test_stored_intervals_come_back_as_they_were(features: pl.DataFrame):
    model = fit_intervals(labelled_rows(features, XNYS))
    text = json.dumps(model.as_values())
    assert IntervalModel.of(json.loads(text)) == model
    assert len(model.by_ticker) == TICKERS
    assert len(text) < 700 * TICKERS  # bytes: 500 tickers are a third of a megabyte


@pytest.mark.parametrize("wrong", [math.nan, math.inf, 1e300, None, "x"])
@pytest.mark.parametrize(
    "where", ["pooled grid", "newcomers bounds", "A grid", "A bounds", "volatility coefficients"]
)
def test_stored_intervals_that_cannot_be_right_are_refused(where: str, wrong: object):
    normal = {name: list(values) for name, values in vars(normal_quantiles()).items()}
    normal["law"] = "normal"
    stored = {
        "horizon": 1,
        "volatility": {"coefficients": [0.1] * 10},
        "pooled": deepcopy(normal),
        "newcomers": deepcopy(normal),
        "by_ticker": {"A": deepcopy(normal)},
    }
    IntervalModel.of(stored)
    part, name = where.split()
    numbers = (stored["by_ticker"] | stored)[part][name]
    for cut in (numbers[:-1], [*numbers[:2], wrong, *numbers[3:]]):
        (stored["by_ticker"] | stored)[part][name] = cut
        if wrong == 1e300 and part == "volatility" and len(cut) == len(numbers):
            continue  # unlikely, and a number
        with pytest.raises((ValueError, TypeError)):
            IntervalModel.of(stored)


@pytest.mark.parametrize("wrong", [None, [], {}, "x", 1, math.nan, math.inf, [[]], {"a": 1}])
@pytest.mark.parametrize(
    "where", ["horizon", "volatility", "pooled", "newcomers", "by_ticker", "by_ticker A"]
)
def test_stored_intervals_of_other_types_are_refused(where: str, wrong: object):
    """By an error that whoever reads them takes for damage."""
    normal = {name: list(values) for name, values in vars(normal_quantiles()).items()}
    stored: dict[str, Any] = {
        "horizon": 1,
        "volatility": {"coefficients": [0.1] * 10},
        "pooled": normal,
        "newcomers": normal,
        "by_ticker": {"A": normal},
    }
    part, _, ticker = where.partition(" ")
    stored[part] = {ticker: wrong} if ticker else wrong
    if (part, wrong) in (("horizon", 1), ("by_ticker", {})) and not ticker:
        assert IntervalModel.of(stored).horizon == 1
        return
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, OverflowError)):
        IntervalModel.of(stored)


def test_quantiles_are_those_of_the_sample():
    found = empirical_quantiles(np.arange(1, 1001))
    assert found.bounds[0] == pytest.approx(250.5, abs=0.5)
    assert found.bounds[5] == pytest.approx(975.5, abs=0.5)
