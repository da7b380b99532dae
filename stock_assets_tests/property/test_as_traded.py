"""Whatever splits and dividends there were, and whenever the history was fetched, the bars are one.

The adjustment is Yahoo's, done here share by share and slowly: a price of day s fetched on day t is
divided by every split ratio that took effect after s and not after t.
"""

from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from stock_assets.market.sources.asking import as_traded

PRICES = ("open", "high", "low", "close")
RATIOS = (2.0, 3.0, 1.5, 4.0, 7.0, 20.0, 1.05, 0.5, 0.1, 0.125)
price = st.floats(0.01, 5000, allow_nan=False)
nullable_price = st.one_of(price, price, price, st.none())


@st.composite
def as_traded_histories(draw) -> list[dict[str, object]]:
    """Rows as traded, one per day; about one in five has a split, one in four a dividend."""
    days = draw(st.integers(1, 30))
    return [
        {
            "session": date(2020, 1, 1) + timedelta(days=day),
            **{name: draw(nullable_price) for name in PRICES},
            "volume": float(draw(st.integers(0, 10**10))),
            "dividend": draw(st.one_of(st.just(0.0), st.just(0.0), st.floats(0.001, 50))),
            "split_ratio": draw(st.one_of(st.just(1.0), st.just(1.0), st.sampled_from(RATIOS))),
        }
        for day in range(days)
    ]


def as_fetched(rows: list[dict[str, object]], until: int, *, no_split: float) -> pl.DataFrame:
    """What Yahoo shows of the first `until` rows, in the shares of the last of them."""
    shown = []
    for s in range(until):
        row = dict(rows[s])
        for t in range(s + 1, until):
            ratio = rows[t]["split_ratio"]
            for name in (*PRICES, "dividend"):
                if row[name] is not None:
                    row[name] /= ratio
            row["volume"] *= ratio
        if row["split_ratio"] == 1.0:
            row["split_ratio"] = no_split
        shown.append(row)
    return typed(shown)


def typed(rows: list[dict[str, object]]) -> pl.DataFrame:
    numbers = dict.fromkeys((*PRICES, "volume", "dividend", "split_ratio"), pl.Float64)
    return pl.DataFrame(rows, schema={"session": pl.Date, **numbers})


@given(as_traded_histories(), st.data(), st.sampled_from([0.0, 1.0]))
def test_the_day_of_the_fetch_does_not_change_the_bars(rows, data, no_split):
    until = data.draw(st.integers(1, len(rows)), label="rows known on the day of the fetch")
    undone = as_traded(as_fetched(rows, until, no_split=no_split))
    clean = typed(rows[:until])
    assert undone.columns == clean.columns
    assert undone["session"].to_list() == clean["session"].to_list()
    assert undone["split_ratio"].to_list() == clean["split_ratio"].to_list()
    for name in (*PRICES, "volume", "dividend"):
        for got, traded in zip(undone[name], clean[name], strict=True):
            assert (got is None) == (traded is None)
            assert traded is None or abs(got - traded) <= 1e-9 * abs(traded)


def test_two_splits_and_a_dividend_by_hand():
    shown = typed(
        [
            dict.fromkeys(PRICES, 10.0) | {"volume": 600.0, "dividend": 0.5, "split_ratio": 0.0},
            dict.fromkeys(PRICES, 11.0) | {"volume": 700.0, "dividend": 0.0, "split_ratio": 2.0},
            dict.fromkeys(PRICES, 12.0) | {"volume": 800.0, "dividend": 0.3, "split_ratio": 3.0},
        ]
    )
    undone = as_traded(shown)
    assert undone["close"].to_list() == [60.0, 33.0, 12.0]
    assert undone["volume"].to_list() == [100.0, 700.0 / 3, 800.0]
    assert undone["dividend"].to_list() == [3.0, 0.0, 0.3]
    assert undone["split_ratio"].to_list() == [1.0, 2.0, 3.0]
