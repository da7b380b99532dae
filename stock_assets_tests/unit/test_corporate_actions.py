import math
from datetime import date

import polars as pl
import pytest

from stock_assets.errors import UnsortedBarsError
from stock_assets.market.corporate_actions import adjusted_closes, realised_returns
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
