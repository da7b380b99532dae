"""Features against a slow oracle: plain loops over one ticker's prices, adjusted in full."""

import math
from datetime import date

import polars as pl
import pytest

from stock_assets.forecasting.features import (
    BAR_SESSIONS,
    FEATURES,
    HISTORY_SESSIONS,
    WINDOW,
    build_features,
    complete_rows,
)
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.sources.sample import sample_bars, vendor_bars


def ema_weights(span: int) -> list[float]:
    """Weight of the price n sessions ago, n = 0, 1, …"""
    raw = [(1 - 2 / (span + 1)) ** n for n in range(WINDOW)]
    return [weight / sum(raw) for weight in raw]


@pytest.fixture(scope="module")
def msft(xnys: ExchangeCalendar) -> dict[str, float]:
    """MSFT's features on 2003-03-10, three weeks after its split and dividend."""
    bars = sample_bars().filter(pl.col("ticker") == "MSFT")
    features = build_features(bars, xnys)
    return features.row(by_predicate=pl.col("session") == date(2003, 3, 10), named=True)


@pytest.fixture(scope="module")
def past() -> list[dict[str, float]]:
    """The bars up to that day, newest first, with the vendor's adjusted close beside them."""
    bars = vendor_bars().filter(pl.col("ticker") == "MSFT", pl.col("session") <= date(2003, 3, 10))
    return bars.sort("session", descending=True).head(WINDOW + 1).to_dicts()


def range_variance(now: dict[str, float], before: dict[str, float]) -> float:
    # Adjusted open = open * adjusted close / close; the dividend is in the adjusted return.
    overnight = math.log(now["open"] * now["adjusted_close"] / now["close"]) - math.log(
        before["adjusted_close"]
    )
    spread, body = math.log(now["high"] / now["low"]), math.log(now["close"] / now["open"])
    return overnight**2 + max(0.5 * spread**2 - (2 * math.log(2) - 1) * body**2, 0)


def volatility(past: list[dict[str, float]], span: int = 32) -> float:
    return math.sqrt(
        sum(
            weight * range_variance(past[n], past[n + 1])
            for n, weight in enumerate(ema_weights(span))
        )
    )


def test_the_return_is_the_vendors(msft: dict[str, float], past: list[dict[str, float]]):
    expected = math.log(past[0]["adjusted_close"] / past[1]["adjusted_close"])
    assert msft["return_1d"] == pytest.approx(expected, rel=1e-6)
    assert msft["close_usd"] == past[0]["close"] == 22.95


def test_volatility_is_the_weighted_range_variance(
    msft: dict[str, float], past: list[dict[str, float]]
):
    # On the ex-dividend day the open is adjusted by its own price: a difference of 1e-4 at most.
    assert msft["volatility_1d"] == pytest.approx(volatility(past), rel=1e-3)
    assert msft["volatility_ratio_5"] == pytest.approx(
        math.log(volatility(past, 5) / volatility(past)), abs=1e-3
    )


@pytest.mark.parametrize("sessions", [5, 10, 20, 60])
def test_momentum_is_the_adjusted_return_in_units_of_volatility(
    msft: dict[str, float], past: list[dict[str, float]], sessions: int
):
    change = math.log(past[0]["adjusted_close"] / past[sessions]["adjusted_close"])
    expected = change / msft["volatility_1d"] / math.sqrt(sessions)
    assert msft[f"momentum_{sessions}"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("span", [5, 10, 20])
def test_the_ema_gap_is_log_price_minus_its_exponential_mean(
    msft: dict[str, float], past: list[dict[str, float]], span: int
):
    mean = sum(
        weight * math.log(past[n]["adjusted_close"]) for n, weight in enumerate(ema_weights(span))
    )
    expected = (math.log(past[0]["adjusted_close"]) - mean) / msft["volatility_1d"]
    assert msft[f"ema_gap_{span}"] == pytest.approx(expected, rel=1e-6)


def test_volume_surprise_undoes_the_split(msft: dict[str, float], past: list[dict[str, float]]):
    # The split was on 2003-02-18, 13 sessions before: older volumes count twice as many shares.
    shares = [row["volume"] * (2 if row["session"] < date(2003, 2, 18) else 1) for row in past[:20]]
    logs = [math.log(volume) for volume in shares]
    assert msft["volume_surprise"] == pytest.approx(logs[0] - sum(logs) / 20, rel=1e-6)


def test_a_row_needs_sixty_four_bars(xnys: ExchangeCalendar):
    facebook = build_features(sample_bars().filter(pl.col("ticker") == "FB"), xnys)
    assert facebook["session"][0] == date(2012, 5, 18)
    assert facebook["return_1d"][0] is None
    assert facebook["return_1d"][1] is not None
    complete = complete_rows(facebook)
    assert facebook.height - complete.height == 63
    assert complete["session"][0] == date(2012, 8, 17)
    nulls = facebook.head(63).select(*FEATURES, "volatility_1d").null_count()
    assert set(nulls.row(0)) == {63}  # all together or none


def test_a_ticker_may_miss_ten_sessions_of_the_window_and_no_more(xnys: ExchangeCalendar):
    bars = sample_bars().filter(pl.col("ticker") == "IBM", pl.col("session").dt.year() == 2012)
    sessions = bars["session"].to_list()

    def first_complete(missed: int) -> date:
        kept = bars.filter(~pl.col("session").is_in(sessions[20 : 20 + missed]))
        return complete_rows(build_features(kept, xnys))["session"][0]

    assert HISTORY_SESSIONS == 73
    assert first_complete(0) == sessions[63]
    assert first_complete(10) == sessions[73]
    # With eleven missed, the whole window must lie after the hole.
    assert first_complete(11) == sessions[20 + 11 + 63]


def test_a_session_computed_alone_equals_the_same_in_a_long_range(xnys: ExchangeCalendar):
    bars = sample_bars()
    everything = build_features(bars, xnys)
    for session in (date(2003, 3, 10), date(2005, 3, 1), date(2012, 11, 8)):
        start = xnys.offset(session, -BAR_SESSIONS)
        alone = build_features(bars.filter(pl.col("session").is_between(start, session)), xnys)
        assert alone.filter(pl.col("session") == session).equals(
            everything.filter(pl.col("session") == session)
        )


def test_a_quarantined_bar_is_left_out(xnys: ExchangeCalendar):
    bars = sample_bars().filter(pl.col("ticker") == "IBM")
    bad = bars.with_columns(
        low=pl.when(pl.col("session") == date(2012, 3, 1)).then(1e6).otherwise("low")
    )
    assert date(2012, 3, 1) not in build_features(bad, xnys)["session"].to_list()
