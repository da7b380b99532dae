from datetime import date
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from stock_assets.market.bars import BAR_SCHEMA, by_ticker, quarantine_reason, sound_bars

SOUND = {
    "ticker": "A",
    "session": date(2013, 1, 2),
    "open": 10.0,
    "high": 11.0,
    "low": 9.0,
    "close": 10.5,
    "volume": 100.0,
    "dividend": 0.0,
    "split_ratio": 1.0,
}


def bar(**changes: Any) -> pl.DataFrame:
    return pl.DataFrame([SOUND | changes], schema=BAR_SCHEMA)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"volume": None}, None),
        ({"close": None}, "missing or not finite"),
        ({"high": float("nan")}, "missing or not finite"),
        ({"high": float("inf")}, "missing or not finite"),
        ({"dividend": None}, "missing or not finite"),
        ({"low": 0.0}, "not positive"),
        ({"low": 10.2}, "low is above"),
        ({"high": 10.4}, "high is below"),
        ({"dividend": -0.1}, "dividend is negative"),
        ({"split_ratio": 0.0}, "split ratio is not positive"),
        ({"volume": -1.0}, "volume is negative"),
    ],
)
def test_a_bar_that_cannot_be_right_is_given_a_reason(changes: dict[str, Any], reason: str | None):
    found = bar(**changes).select(quarantine_reason()).item()
    assert found is None if reason is None else reason in found


def test_only_sound_bars_enter_features_sorted():
    bars = pl.concat([bar(ticker="B"), bar(close=None), bar(session=date(2013, 1, 3)), bar()])
    assert sound_bars(bars).select("ticker", "session").rows() == [
        ("A", date(2013, 1, 2)),
        ("A", date(2013, 1, 3)),
        ("B", date(2013, 1, 2)),
    ]


def test_rows_by_ticker_are_those_that_sorting_by_two_columns_gives():
    days = [date(1969, 12, 30), date(1970, 1, 1), date(2013, 1, 2), date(1901, 1, 2)]
    rows = pl.DataFrame({"ticker": ["B", "^GSPC", "A", "BRK-B"]}).join(
        pl.DataFrame({"session": days, "return_1d": [0.1, None, float("nan"), -0.2]}), how="cross"
    )
    for seed in range(5):
        shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
        assert_frame_equal(by_ticker(shuffled), rows.sort("ticker", "session"))
    assert_frame_equal(by_ticker(rows.clear()), rows.clear())
