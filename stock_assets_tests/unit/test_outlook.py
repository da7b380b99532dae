"""What a row knows of the next session, against loops over rows and numbers worked out by hand."""

import json
import math
from datetime import date

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.intervals import IntervalModel, fit_intervals
from stock_assets.forecasting.news import QUARTERS, news_columns, season_rows
from stock_assets.forecasting.outlook import OUTLOOK
from stock_assets.forecasting.scale_step import (
    CALENDAR,
    TERMS,
    ScaleStep,
    fit_scale,
    outlook_terms,
)
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.forecasting.volatility import fit_volatility
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.simulated_prices import simulated_bars

XNYS = load_calendar("XNYS")
DAY = date(2004, 10, 13)


@pytest.fixture(scope="module")
def features() -> pl.DataFrame:
    return build_features(sample_bars().filter(pl.col("session") <= date(2005, 6, 30)), XNYS)


def test_seasons_of_news_are_those_of_the_four_quarters_before(xnys: ExchangeCalendar):
    days = xnys.between(date(2011, 6, 1), date(2012, 7, 24))
    # The session after 2012-07-23 is a Tuesday; so were 04-24, 01-24, 2011-10-25 and 07-26.
    scores = dict.fromkeys(days, 0.0) | {
        date(2012, 4, 24): 2.0,
        date(2012, 1, 25): 3.0,  # a session later than the quarter before
        date(2011, 10, 25): 0.5,  # too low to be news
        date(2011, 7, 20): 1.0,  # four sessions earlier
        date(2012, 7, 16): 4.0,  # five sessions before the row
    }
    ordinals = xnys.ordinals(days)
    first = ordinals[days[0]]
    found = news_columns(
        np.array([scores[day] for day in days]),
        np.arange(len(days)),
        np.array([0, len(days)]),
        season_rows(first, first + len(days), xnys),
    )
    at = days.index(date(2012, 7, 23))
    assert {name: round(float(values[at]), 4) for name, values in found.items()} == {
        "season_0": (2 + 0 + 0.5 + 0) / 4,
        "season_1": (2 + 3 + 0.5 + 0) / 4,
        "season_3": (2 + 3 + 0.5 + 0) / 4,
        "season_peak": (2 + 3 + 0.5 + 1) / 4,
        "season_hits_0": 1,
        "season_hits_1": 2,
        "season_hit_0": 2,
        "season_hit_1": 2.5,
        "news_3": 0,
        "news_10": 4,
        "news_25": 4,
    }
    # No quarter before the first row is known.
    assert np.isnan(found["season_0"][20])
    assert found["news_3"][20] == 0


def test_a_quarter_before_a_holiday_is_the_session_after_it(xnys: ExchangeCalendar):
    friday, monday = xnys.ordinals([date(2013, 1, 25), date(2013, 1, 28)]).values()
    rows = season_rows(0, monday + 1, xnys)
    assert len(rows) == QUARTERS
    # A hurricane closed the exchange 91 days before Tuesday 2013-01-29, and the day before that.
    assert [xnys.sessions[n] for n in rows[:2, monday]] == [date(2012, 10, 31), date(2012, 7, 31)]
    assert [xnys.sessions[n] for n in rows[:2, friday]] == [date(2012, 10, 31), date(2012, 7, 30)]


def by_day(features: pl.DataFrame) -> tuple[list[date], dict[tuple[str, date], dict[str, float]]]:
    days = features["session"].unique().sort().to_list()
    return days, {(row["ticker"], row["session"]): row for row in features.iter_rows(named=True)}


def score(rows: dict, days: list[date], ticker: str, at: int) -> float:
    """News of a ticker: its excess over its usual range and volume, less that of the others."""

    def excess(one: str) -> tuple[float, float] | None:
        now, before = rows.get((one, days[at])), rows.get((one, days[at - 1]))
        if not (now and before and now["volatility_1d"] and before["volatility_1d"]):
            return None
        usual = 2 * (before["volatility_ratio_22"] + math.log(before["volatility_1d"]))
        floor = 0.02 * now["volatility_1d"] ** 2
        moved = math.log(max(now["range_variance_1d"], floor)) - usual
        return max(-5, min(5, moved)), max(-3, min(3, now["volume_surprise"]))

    found = {one: excess(one) for one in ("AAPL", "GOOG", "IBM", "MSFT")}
    others = [pair for one, pair in found.items() if pair and one != ticker]
    means = [sum(pair[n] for pair in others) / len(others) for n in (0, 1)]
    range_, volume = (found[ticker][n] - means[n] for n in (0, 1))
    return max(0, min(5, range_)) / 2 + max(0, min(3, volume))


def test_news_stand_out_against_the_tickers_own_past_and_the_others(features: pl.DataFrame):
    days, rows = by_day(features)
    # Apple reported after the close of 2004-10-13 and rose by 13 % the next day.
    at = days.index(DAY) + 1
    expected = [score(rows, days, "AAPL", n) for n in range(at - 24, at + 1)]
    found = rows["AAPL", days[at]]
    assert found["news_3"] == pytest.approx(max(expected[-3:]), rel=1e-5)
    assert found["news_10"] == pytest.approx(max(expected[-10:]), rel=1e-5)
    assert found["news_25"] == pytest.approx(max(expected), rel=1e-5)
    assert max(expected[-3:]) > 3
    # It had done so 91 days before, and before that each time in the same week.
    assert rows["AAPL", DAY]["season_1"] > 2 * features["season_1"].mean()


def test_market_moves_are_the_returns_beside_the_volatility_before_them(features: pl.DataFrame):
    days, rows = by_day(features)

    def returns(at: int) -> list[float]:
        pairs = [(rows.get((t, days[at])), rows.get((t, days[at - 1]))) for t in
                 ("AAPL", "GOOG", "IBM", "MSFT")]  # fmt: skip
        known = [(a, b) for a, b in pairs if a and b and a["volatility_1d"] and b["volatility_1d"]]
        return [max(-6, min(6, a["return_1d"] / b["volatility_1d"])) for a, b in known]

    def mean(values: list[float], span: int) -> float:
        weights = [(1 - 2 / (span + 1)) ** n for n in range(63)]
        return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights)

    at = days.index(DAY)
    past = [returns(at - n) for n in range(63)]
    moves = [sum(one) / len(one) for one in past]
    stirs = [sum(map(abs, one)) / len(one) for one in past]
    found = rows["IBM", DAY]
    assert found["market_move"] == pytest.approx(moves[0], rel=1e-5)
    assert found["market_move_5"] == pytest.approx(mean(moves, 5), rel=1e-5)
    for span in (3, 10, 40):
        assert found[f"market_stir_{span}"] == pytest.approx(math.log(mean(stirs, span)), rel=1e-4)


def test_shares_of_the_night_and_of_the_close(features: pl.DataFrame):
    past = features.filter(pl.col("ticker") == "IBM", pl.col("session") <= DAY).tail(63).to_dicts()
    weights = [(1 - 2 / 23) ** n for n in range(63)]

    def mean(values: list[float]) -> float:
        return sum(w * v for w, v in zip(weights, reversed(values), strict=True))

    variance = mean([row["range_variance_1d"] for row in past])
    night = mean([(row["overnight_return"] * row["volatility_1d"]) ** 2 for row in past])
    whole = mean([row["return_1d"] ** 2 for row in past])
    assert past[-1]["overnight_share_22"] == pytest.approx(math.log(night / variance), rel=1e-5)
    assert past[-1]["close_share_22"] == pytest.approx(math.log(whole / variance), rel=1e-5)


@pytest.mark.parametrize(
    ("session", "kinds"),
    [
        (date(2012, 11, 21), {"friday", "after_gap"}),  # Thanksgiving between
        (date(2012, 9, 6), {"friday", "first_friday"}),
        (date(2012, 12, 20), {"friday", "third_friday"}),
        (date(2012, 12, 21), {"before_gap", "end_of_year"}),  # to Monday, Christmas after it
        (date(2012, 10, 26), {"wednesday", "after_gap", "turn_of_month"}),  # the hurricane
        (date(2012, 8, 10), set()),  # an ordinary Monday
    ],
)
def test_the_kind_of_day_that_the_next_session_is(session: date, kinds: set[str]):
    bars = sample_bars().filter(pl.col("session").is_between(date(2012, 7, 2), date(2012, 12, 31)))
    rows = build_features(bars, XNYS).filter(ticker="IBM", session=session)
    terms = dict(zip(TERMS, outlook_terms(rows), strict=True))
    assert {name for name in CALENDAR if terms[name][0] == 1} == kinds


def test_news_are_due_where_there_were_none_for_25_sessions(features: pl.DataFrame):
    rows = features.head(3).with_columns(
        season_peak=pl.Series([2.0, 2.0, None], dtype=pl.Float32),
        season_hit_0=pl.Series([3.0, 3.0, None], dtype=pl.Float32),
        news_25=pl.Series([1.1, 1.3, 0.2], dtype=pl.Float32),
    )
    terms = dict(zip(TERMS, outlook_terms(rows), strict=True))
    np.testing.assert_array_equal(terms["season_due_0"], [3.0, 0.0, np.nan])


def test_the_second_step_learns_by_how_much_returns_are_larger():
    """Twice as large where the term is 1, which is so in every tenth row."""
    rng = np.random.default_rng(4)
    term, noise = (rng.random(300_000) < 0.1).astype(float), rng.standard_normal(300_000)
    returns = rng.standard_normal(300_000) * np.where(term == 1, 2.0, 1.0)
    parts = np.arange(300_000) // 100_000
    step, without = fit_scale([term, noise], returns, np.ones(300_000, dtype=bool), parts)
    # 2 / 1.1 - 1 / 1.1 of the mean size, less what the ridge takes.
    assert step.coefficients[0] == pytest.approx(1 / 1.1 / 1.022, abs=0.02)
    assert step.coefficients[1] == pytest.approx(0, abs=0.005)
    assert step.centres == pytest.approx((0.1, 0), abs=0.01)
    assert len(without) == 3


def test_a_step_is_bounded_and_what_is_not_known_adds_nothing():
    step = ScaleStep((0.5, -2.0), (1.0, 0.0))
    found = step.log_step([np.array([2.0, np.nan, 1.0]), np.array([0.1, 0.1, 30.0])])
    np.testing.assert_allclose(found, [0.3, -0.2, -0.7])


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    bars = simulated_bars(XNYS, "2010-01-04", 700, 12, seed=5, steps=12)
    return labelled_rows(build_features(bars, XNYS), XNYS)


def test_a_returns_unit_was_not_learnt_from_it(rows: pl.DataFrame):
    """Another first third of returns leaves the units of that third, and changes the others."""
    _, unit = fit_volatility(rows)
    third = (rows["session"].rank("dense") - 1) * 3 // rows["session"].n_unique() == 0
    _, changed = fit_volatility(
        rows.with_columns(return_next=pl.when(third).then(0.0).otherwise("return_next"))
    )
    first = third.to_numpy()
    np.testing.assert_allclose(changed[first], unit[first], rtol=1e-9)
    assert np.abs(changed[~first] / unit[~first] - 1).mean() > 0.01


def test_of_a_year_or_less_there_is_no_second_step(rows: pl.DataFrame):
    days = rows["session"].unique().sort()
    model, _ = fit_volatility(rows.filter(pl.col("session") < days[249]))
    assert model.scale == ScaleStep()
    model, _ = fit_volatility(rows.filter(pl.col("session") < days[250]))
    assert len(model.scale.coefficients) == len(model.scale.centres) == 9 + len(TERMS)


def test_a_model_stored_before_there_was_a_second_step_is_served_without(rows: pl.DataFrame):
    stored = json.loads(json.dumps(fit_intervals(rows).as_values()))
    model = IntervalModel.of(stored)
    assert model == fit_intervals(rows)
    del stored["volatility"]["scale"]
    old = IntervalModel.of(stored)
    assert old.volatility.scale == ScaleStep()
    assert (old.volatility.volatility(rows) != model.volatility.volatility(rows)).all()


def test_rows_stored_before_there_was_an_outlook_have_none(
    features: pl.DataFrame, rows: pl.DataFrame
):
    old = features.with_columns(pl.lit(None, kind).alias(name) for name, kind in OUTLOOK.items())
    assert labelled_rows(old, XNYS)["news_3"].null_count() > 0
    volatility, _ = fit_volatility(rows)
    known = old.drop_nulls("volatility_1d")
    assert np.isfinite(volatility.volatility(known)).all()


def test_a_single_ticker_has_news_and_a_market_of_its_own():
    bars = sample_bars().filter(pl.col("ticker") == "IBM", pl.col("session") <= date(2003, 6, 30))
    alone = build_features(bars, XNYS).drop_nulls("volatility_1d")
    assert alone["market_move"].null_count() == 1  # the first: no volatility before it
    assert alone["news_25"].max() > 2
    # The first quarter that is known is 91 days, 62 sessions, after the first score.
    assert alone["season_0"].null_count() < 62
