"""The basket's interval is calibrated, knows no future, and is as wide as it must be."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.basket import (
    LAW_SESSIONS,
    basket_forecasts,
    basket_returns,
    summarise_basket,
)
from stock_assets.forecasting.intervals import adapt, empirical_quantiles

D1 = date(2013, 1, 2)
TICKERS, SESSIONS, CORRELATION = 20, 2_000, 0.3


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    """Log returns with one common volatility that moves slowly, and a common factor."""
    draw = np.random.default_rng(8)
    level = np.zeros(SESSIONS)
    for n in range(1, SESSIONS):
        level[n] = 0.98 * level[n - 1] + 0.1 * draw.standard_normal()
    spread = np.linspace(0.008, 0.02, TICKERS)
    shared = draw.standard_normal((SESSIONS, 1))
    noise = draw.standard_normal((SESSIONS, TICKERS))
    standard = math.sqrt(CORRELATION) * shared + math.sqrt(1 - CORRELATION) * noise
    returns = np.exp(level)[:, None] * spread * standard
    return pl.DataFrame(
        {
            "ticker": [f"T{t:02d}" for t in range(TICKERS)] * SESSIONS,
            "session": [D1 + timedelta(days=n // TICKERS) for n in range(SESSIONS * TICKERS)],
            "return_1d": returns.ravel(),
        },
    ).with_columns(
        volatility_1d=(pl.col("return_1d") ** 2).ewm_mean(alpha=0.06).sqrt().over("ticker")
    )


def every(rows: pl.DataFrame) -> pl.DataFrame:
    returns = basket_returns(rows)
    return basket_forecasts(returns, returns["session"].to_list())


def test_the_return_is_of_who_was_there_the_session_before():
    days = [D1 + timedelta(days=n) for n in range(3)]
    frame = pl.DataFrame(
        [
            ("A", days[0], None, 0.01),
            ("B", days[0], 0.5, None),  # too young for a volatility: not bought
            ("A", days[1], math.log(1.02), 0.02),
            ("B", days[1], math.log(1.5), 0.04),
            ("C", days[1], math.log(1.9), None),
            ("B", days[2], math.log(0.94), 0.04),
            ("C", days[2], math.log(1.9), 0.05),
        ],
        schema=["ticker", "session", "return_1d", "volatility_1d"],
        orient="row",
    )
    found = basket_returns(frame.sample(fraction=1, shuffle=True, seed=2))
    assert found["session"].to_list() == days
    assert found["basket_return"][1:].to_list() == pytest.approx([0.02, -0.06])
    assert math.isnan(found["basket_return"][0])
    assert found["unit"].to_list() == pytest.approx([0.01, 0.03, 0.045])


def test_bounds_are_the_adapted_law_of_the_last_500_in_the_newest_unit(rows: pl.DataFrame):
    returns = basket_returns(rows)
    realised, unit = returns["basket_return"].to_numpy(), returns["unit"].to_numpy()
    day = 1_500
    past = np.array([realised[n] / unit[n - 1] for n in range(day - 499, day + 1)])
    law = np.array(empirical_quantiles(past).bounds)
    bounds = adapt(law, past[-250:]) * unit[day]
    found = every(rows).filter(as_of_session=D1 + timedelta(days=day)).row(0, named=True)
    names = [f"{side}_{c}" for c in (50, 80, 95) for side in ("lower", "upper")]
    assert [found[name] for name in names] == pytest.approx(bounds.tolist())
    assert found["target_session"] == D1 + timedelta(days=day + 1)
    assert found["realised_return"] == realised[day + 1]


def test_coverage_is_nominal_within_noise(rows: pl.DataFrame):
    found = summarise_basket(every(rows))
    assert found["sessions"] > 1_900
    # Chance alone has standard deviations of 1.1, 0.9 and 0.5 points.
    assert found["coverage"]["50"] == pytest.approx(0.50, abs=0.035)
    assert found["coverage"]["80"] == pytest.approx(0.80, abs=0.03)
    assert found["coverage"]["95"] == pytest.approx(0.95, abs=0.015)
    assert found["next"]["as_of_session"] == str(D1 + timedelta(days=SESSIONS - 1))
    assert found["next"]["lower_95"] < found["next"]["lower_50"] < found["next"]["upper_50"]


def test_a_basket_is_narrower_than_its_shares_and_wider_than_if_they_were_independent(
    rows: pl.DataFrame,
):
    def width(forecasts: pl.DataFrame) -> float:
        return float(forecasts.select((pl.col("upper_95") - pl.col("lower_95")).mean()).item())

    basket = width(every(rows))
    # Their volatilities lie evenly about the mean of all.
    some = ("T00", "T06", "T13", "T19")
    single = np.mean([width(every(rows.filter(ticker=ticker))) for ticker in some])
    assert single / math.sqrt(TICKERS) * 1.5 < basket < 0.8 * single
    # Of equal shares, sqrt(rho + (1 - rho) / n) of a single one's.
    factor = math.sqrt(CORRELATION + (1 - CORRELATION) / TICKERS)
    assert basket == pytest.approx(factor * single, rel=0.1)


def test_one_session_and_ten_years_agree_to_the_last_bit(rows: pl.DataFrame):
    day = D1 + timedelta(days=1_700)
    # A ticker that is gone before the window begins is in the long history alone.
    gone = pl.col("ticker").is_in(["T03", "T11"]) & (pl.col("session") > D1 + timedelta(days=900))
    kept = rows.filter(~gone)
    start = day - timedelta(days=LAW_SESSIONS)
    window = kept.filter(pl.col("session").is_between(start, day))
    alone = basket_forecasts(basket_returns(window), [day])
    whole = every(kept).filter(as_of_session=day)
    assert alone.height == 1
    bounds = [name for name in whole.columns if name.startswith(("lower", "upper"))]
    assert alone.select(bounds).equals(whole.select(bounds))
    assert alone["realised_return"].to_list() == [None]


def test_nothing_after_a_session_is_used(rows: pl.DataFrame):
    day = D1 + timedelta(days=1_000)
    wild = rows.with_columns(
        pl.when(pl.col("session") > day).then(-7 * pl.col(name)).otherwise(name).alias(name)
        for name in ("return_1d", "volatility_1d")
    )
    bounds = ["as_of_session", "lower_95", "upper_50"]
    known = pl.col("as_of_session") <= day
    assert every(wild).filter(known).select(bounds).equals(every(rows).filter(known).select(bounds))


def test_too_few_returns_make_no_forecast(rows: pl.DataFrame):
    # The first session has no return before it: 63 are known as of the 64th.
    assert every(rows.head(63 * TICKERS)).is_empty()
    assert every(rows.head(64 * TICKERS))["as_of_session"].to_list() == [D1 + timedelta(days=63)]
    assert summarise_basket(every(rows.head(63 * TICKERS))) == {
        "sessions": 0,
        "coverage": {"50": None, "80": None, "95": None},
        "interval_score_95": None,
        "next": None,
    }
    assert every(rows.clear()).is_empty()
