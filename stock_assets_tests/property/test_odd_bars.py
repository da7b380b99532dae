"""What one ticker's odd bars may do to the forecasts of the others: next to nothing."""

from datetime import date

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stock_assets.forecasting.features import (
    BAR_SESSIONS,
    MARKET_VARIANCES,
    MOST_APART,
    build_features,
)
from stock_assets.forecasting.intervals import IntervalModel, fit_intervals
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.market.bars import PRICES
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets_tests.simulated_prices import simulated_bars

XNYS = load_calendar("XNYS")
N_TICKERS = 6
BARS = simulated_bars(XNYS, "2010-01-04", 640, N_TICKERS, seed=11)
SESSIONS = XNYS.between(date(2010, 1, 4), BARS["session"].max())
LAST = SESSIONS[-1]
ODD = "T002"


def without_range(bars: pl.DataFrame, first: date, volume: float) -> pl.DataFrame:
    """The odd ticker's bars from `first` on, stuck at the close before; its volume as given."""
    odd = (pl.col("ticker") == ODD) & (pl.col("session") >= first)
    stuck = bars.filter(pl.col("ticker") == ODD, pl.col("session") < first)["close"][-1]
    return bars.with_columns(
        *(pl.when(odd).then(stuck).otherwise(c).alias(c) for c in PRICES),
        volume=pl.when(odd).then(volume).otherwise("volume"),
    )


def stretched(bars: pl.DataFrame, first: date, times: float) -> pl.DataFrame:
    """The odd ticker's moves from `first` on, so many times as large as they were."""
    odd = (pl.col("ticker") == ODD) & (pl.col("session") >= first)
    stuck = bars.filter(pl.col("ticker") == ODD, pl.col("session") < first)["close"][-1]
    return bars.with_columns(
        pl.when(odd).then(stuck * (pl.col(c) / stuck).pow(times)).otherwise(c).alias(c)
        for c in PRICES
    )


@pytest.fixture(scope="module")
def model() -> IntervalModel:
    return fit_intervals(labelled_rows(build_features(BARS, XNYS), XNYS))


def log_volatilities(bars: pl.DataFrame, model: IntervalModel) -> np.ndarray:
    """Of the other tickers' forecasts from the last session, shape (N_TICKERS - 1,)."""
    rows = build_features(bars, XNYS).filter(
        (pl.col("session") == LAST) & (pl.col("ticker") != ODD)
    )
    assert rows.height == N_TICKERS - 1
    return np.log(model.volatility.volatility(rows))


@given(sessions=st.integers(1, 60), volume=st.sampled_from([0.0, None]))
@hypothesis_settings(max_examples=15, deadline=None)
def test_a_suspended_ticker_is_to_the_others_as_if_it_had_no_bars(
    sessions: int, volume: float | None
):
    first = SESSIONS[-sessions]
    flat = without_range(BARS, first, volume)
    absent = BARS.filter((pl.col("ticker") != ODD) | (pl.col("session") < first))
    assert build_features(flat, XNYS).equals(build_features(absent, XNYS))


@given(
    sessions=st.integers(1, 120),
    times=st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 3.0, 8.0]),
)
@hypothesis_settings(max_examples=40, deadline=None)
def test_odd_bars_move_the_others_by_no_more_than_one_tickers_share(
    model: IntervalModel, sessions: int, times: float
):
    """A ticker's share: its bounded log variance, over the number of tickers."""
    first = SESSIONS[-sessions]
    odd = stretched(BARS, first, times)
    if times == 0:  # no range although it trades
        odd = without_range(BARS, first, 1e6)
    with_it, before = build_features(odd, XNYS), build_features(BARS, XNYS)
    at_last = (pl.col("session") == LAST) & (pl.col("ticker") == "T000")
    for name in MARKET_VARIANCES:
        moved = with_it.filter(at_last)[name].item() - before.filter(at_last)[name].item()
        # From one bound to the other; the median may move by a neighbour's distance besides.
        assert abs(moved) <= 2 * MOST_APART / N_TICKERS + 0.25
    moved = np.abs(log_volatilities(odd, model) - log_volatilities(BARS, model)).max()
    # Half of the log variance, times the market's coefficients, which sum to less than a half.
    assert moved <= 0.25 * (2 * MOST_APART / N_TICKERS + 0.25)


def test_a_ticker_that_hardly_moves_leaves_the_coefficients_of_the_others():
    """Leverage: its rows lie far from all others in the regression, 250 sessions of 700."""
    bars = simulated_bars(XNYS, "2010-01-04", 700, 12, seed=3)
    sessions = XNYS.between(date(2010, 1, 4), bars["session"].max())
    still = stretched(bars, sessions[-250], 1e-4)

    def volatilities(of: pl.DataFrame) -> np.ndarray:
        features = build_features(of, XNYS)
        late = (pl.col("session") > sessions[-60]) & (pl.col("ticker") != ODD)
        fitted = fit_intervals(labelled_rows(features, XNYS))
        return fitted.volatility.volatility(features.filter(late))

    apart = np.log(volatilities(still) / volatilities(bars))
    assert abs(apart.mean()) < 0.02
    assert apart.std() < 1 / 12


def test_real_tickers_keep_their_widths_beside_one_that_is_suspended_for_25_sessions():
    """IBM without trading from 2012-10-01 on: AAPL, GOOG, MSFT and FB forecast as before."""
    bars = sample_bars().filter(pl.col("session") >= date(2010, 1, 4))
    first, last = date(2012, 10, 1), date(2012, 11, 6)
    ibm = (pl.col("ticker") == "IBM") & pl.col("session").is_between(first, last)
    close = bars.filter(pl.col("ticker") == "IBM", pl.col("session") < first)["close"][-1]
    flat = bars.with_columns(
        *(pl.when(ibm).then(close).otherwise(c).alias(c) for c in PRICES),
        volume=pl.when(ibm).then(0.0).otherwise("volume"),
    )
    known = build_features(bars, XNYS).filter(pl.col("session") < first)
    law = fit_intervals(labelled_rows(known, XNYS))

    def widths(of: pl.DataFrame) -> np.ndarray:
        rows = build_features(of, XNYS).filter(
            pl.col("session").is_between(first, last), pl.col("ticker") != "IBM"
        )
        return law.volatility.volatility(rows.drop_nulls("volatility_1d"))

    assert len(widths(flat)) == len(widths(bars)) == 4 * 25
    np.testing.assert_allclose(widths(flat), widths(bars), rtol=0.1)


def spoiled(bars: pl.DataFrame, ticker: str, first: int, length: int, kind: str) -> pl.DataFrame:
    """What vendors deliver: a run of bars of one ticker that are not what they should be."""
    days = SESSIONS[first : first + length]
    at = (pl.col("ticker") == ticker) & pl.col("session").is_between(days[0], days[-1])
    if kind == "absent":
        return bars.filter(~at)
    if kind == "filled":
        earlier = bars.filter(pl.col("ticker") == ticker, pl.col("session") < days[0])
        close = earlier["close"][-1] if earlier.height else 50.0
        return bars.with_columns(
            *(pl.when(at).then(close).otherwise(c).alias(c) for c in PRICES),
            volume=pl.when(at).then(0.0).otherwise("volume"),
        )
    if kind == "collapsed":
        after = (pl.col("ticker") == ticker) & (pl.col("session") >= days[0])
        on_the_day = (pl.col("ticker") == ticker) & (pl.col("session") == days[0])
        return bars.with_columns(
            *(pl.when(after).then(pl.col(c) * 0.2).otherwise(c).alias(c) for c in PRICES),
            volume=pl.when(on_the_day).then(pl.col("volume") * 60).otherwise("volume"),
        )
    return bars.with_columns(
        close=pl.when(at).then(None).otherwise("close"),
        dividend=pl.when(at).then(0.5 if kind == "unsound, paid" else None).otherwise("dividend"),
        split_ratio=pl.when(at).then(2.0).otherwise("split_ratio"),
    )


SPOILS = st.tuples(
    st.sampled_from(["T000", "T001", ODD]),
    st.integers(1, 590),
    st.integers(1, 40),
    st.sampled_from(["absent", "filled", "collapsed", "unsound, paid", "unsound, unreadable"]),
)


@given(st.lists(SPOILS, min_size=1, max_size=5), st.integers(BAR_SESSIONS + 10, 600))
@hypothesis_settings(max_examples=60, deadline=None)
def test_a_daily_run_gives_what_a_backfill_gives_whatever_the_bars_are(
    spoils: list[tuple[str, int, int, str]], at: int
):
    """And a session's rows do not change when later bars come in."""
    bars = BARS
    for spoil in spoils:
        bars = spoiled(bars, *spoil)
    session = SESSIONS[at]
    row = pl.col("session") == session
    backfilled = build_features(bars, XNYS).filter(row)
    known = bars.filter(pl.col("session") <= session)
    assert build_features(known, XNYS).filter(row).equals(backfilled)
    window = known.filter(pl.col("session") >= SESSIONS[at - BAR_SESSIONS])
    alone = build_features(window, XNYS).filter(row)
    assert alone.equals(backfilled)
