import math
from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stock_assets.errors import UnsortedBarsError
from stock_assets.market.corporate_actions import (
    adjusted_closes,
    carry_events,
    realised_returns,
)
from stock_assets.market.sources.sample import LAST_SESSION, sample_bars, vendor_bars


def closes(*rows: tuple[str, date, float, float, float]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema=["ticker", "session", "close", "dividend", "split_ratio"], orient="row"
    )


D1, D2, D3 = date(2013, 1, 2), date(2013, 1, 3), date(2013, 1, 4)
SPLIT_AND_DIVIDEND = closes(
    ("A", D1, 100.0, 0.0, 1.0), ("A", D2, 51.0, 0.0, 2.0), ("A", D3, 50.0, 1.5, 1.0)
)


def test_a_return_includes_the_split_and_the_dividend():
    returns = realised_returns(SPLIT_AND_DIVIDEND)["return_1d"].to_list()
    assert returns[0] is None
    assert returns[1] == pytest.approx(math.log(1.02))  # 51 * 2 / 100
    assert returns[2] == pytest.approx(math.log(51.5 / 51))


def test_adjusted_closes_know_nothing_after_the_day_they_are_as_of():
    as_of_first = adjusted_closes(SPLIT_AND_DIVIDEND, D1)["adjusted_close"].to_list()
    as_of_last = adjusted_closes(SPLIT_AND_DIVIDEND, D3)["adjusted_close"].to_list()
    assert as_of_first == [100.0]
    assert as_of_last == pytest.approx([50 / (51.5 / 51) / 1.02, 50 / (51.5 / 51), 50.0])


def test_adjusted_closes_before_a_dividend_that_cannot_be_read_are_not_known():
    rows = closes(
        ("A", D1, 100.0, 0.0, 1.0),
        ("A", D2, 51.0, None, 2.0),
        ("A", D3, 50.0, 1.5, 1.0),
        ("B", D1, 10.0, 0.0, 1.0),
        ("B", D2, 20.0, 0.0, 1.0),
    )
    adjusted = adjusted_closes(rows, D3)["adjusted_close"].to_list()
    assert adjusted == [None, pytest.approx(50 / (51.5 / 51)), 50.0, 10.0, 20.0]


def test_the_vendors_adjusted_closes_are_reproduced():
    ours = adjusted_closes(sample_bars(), LAST_SESSION)
    both = ours.join(vendor_bars(), on=["ticker", "session"], suffix="_vendor").with_columns(
        # The vendor also adjusted for what happened after the file ends: a constant per ticker.
        ratio=pl.col("adjusted_close") / pl.col("adjusted_close_vendor")
    )
    worst = both.select(
        (pl.col("ratio") / pl.col("ratio").last().over("ticker") - 1).abs().max()
    ).item()
    assert both.height == 12_154
    assert worst < 1e-9


def test_sessions_that_do_not_increase_are_named():
    twice = closes(("A", D1, 1.0, 0.0, 1.0), ("A", D1, 1.0, 0.0, 1.0))
    with pytest.raises(UnsortedBarsError, match="A: 2013-01-02 does not come after"):
        realised_returns(twice)
    scattered = closes(("A", D1, 1.0, 0.0, 1.0), ("B", D1, 1.0, 0.0, 1.0), ("A", D2, 1.0, 0.0, 1.0))
    with pytest.raises(UnsortedBarsError, match="scattered"):
        realised_returns(scattered)


def with_bars_left_out(
    *rows: tuple[float | None, float | None, float | None, bool],
) -> pl.DataFrame:
    """Bars of one ticker on neighbouring days: close, dividend, split ratio, whether it stays."""
    bars = closes(*(("A", D1 + timedelta(days=n), *row[:3]) for n, row in enumerate(rows)))
    return carry_events(bars, pl.Series([row[3] for row in rows]))


def test_a_dividend_is_counted_per_share_after_the_split_of_its_session():
    """One share at 100 becomes two at 49, each of which is paid 1: nothing was won or lost.

    CRSP counts the dividend per share as held before and would say 99 / 100.
    """
    both = closes(("A", D1, 100.0, 0.0, 1.0), ("A", D2, 49.0, 1.0, 2.0))
    assert realised_returns(both)["return_1d"][1] == pytest.approx(0.0, abs=1e-15)


def test_events_of_bars_left_out_are_told_in_shares_of_the_next_bar():
    # One share: paid 3, split into two, paid 1 on each, split into three each: six shares.
    kept = with_bars_left_out(
        (120.0, 0.0, 1.0, True),
        (None, 3.0, 1.0, False),
        (57.0, 1.0, 2.0, False),
        (19.0, 0.0, 3.0, True),
    )
    assert kept["split_ratio"].to_list() == [1.0, 6.0]
    assert kept["dividend"].to_list() == pytest.approx([0.0, (3 + 2) / 6])
    # 6 * 19 + 5 over 120.
    assert realised_returns(kept)["return_1d"][1] == pytest.approx(math.log(119 / 120))


@pytest.mark.parametrize(
    ("dividend", "ratio"),
    [(None, 1.0), (0.0, None), (-1.0, 1.0), (math.nan, 1.0), (0.0, 0.0), (math.inf, 1.0)],
)
def test_the_return_across_an_event_that_cannot_be_read_is_unknown(
    dividend: float | None, ratio: float | None
):
    kept = with_bars_left_out(
        (100.0, 0.0, 1.0, True), (50.0, dividend, ratio, False), (50.0, 0.0, 1.0, True),
        (51.0, 0.0, 1.0, True),
    )  # fmt: skip
    assert kept["dividend"].to_list() == [0.0, None, 0.0]
    returns = realised_returns(kept)["return_1d"].to_list()
    assert returns == [None, None, pytest.approx(math.log(51 / 50))]


def test_a_row_without_a_single_number_claims_nothing():
    kept = with_bars_left_out(
        (100.0, 0.0, 1.0, True), (None, None, None, False), (50.0, 0.0, 1.0, True)
    )
    assert kept["dividend"].to_list() == [0.0, 0.0]


def test_events_after_a_tickers_last_kept_bar_go_to_no_other_ticker():
    bars = closes(("A", D1, 10.0, 0.0, 1.0), ("A", D2, 10.0, 5.0, 2.0), ("B", D1, 10.0, 0.0, 1.0))
    kept = carry_events(bars, pl.Series([True, False, True]))
    assert kept["dividend"].to_list() == [0.0, 0.0]
    assert kept["split_ratio"].to_list() == [1.0, 1.0]


BAR = st.tuples(
    st.floats(1, 1000),  # close
    st.sampled_from([0.0, 0.0, 0.5, 3.0]),
    st.sampled_from([1.0, 1.0, 2.0, 3.0, 0.1]),
    st.booleans(),
)


@given(st.lists(BAR, min_size=1, max_size=12))
def test_whatever_bars_are_left_out_the_holder_has_the_same_wealth(
    middle: list[tuple[float, float, float, bool]],
):
    """One who holds the share, and reinvests what it paid as soon as there is a price to do so."""
    rows = [(50.0, 0.0, 1.0, True), *middle, (60.0, 0.25, 1.0, True)]
    shares, cash = 1.0, 0.0
    for close, dividend, ratio, stays in rows[1:]:
        shares *= ratio
        cash += shares * dividend
        if stays:
            shares, cash = shares + cash / close, 0.0
    returns = realised_returns(with_bars_left_out(*rows))["return_1d"].drop_nulls()
    assert math.exp(returns.sum()) == pytest.approx(shares * 60.0 / 50.0, rel=1e-9)
