"""Features do not depend on when prices were fetched, nor in which order, nor how often.

The adjustment is Yahoo's, done here slowly: a price of day s fetched on day t is divided by every
split ratio that took effect after s and not after t. What it gives is turned back and merged into
what was stored, as the graph does; the features must be those of a clean as-traded history.
"""

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

import polars as pl
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from stock_assets.forecasting.features import build_features
from stock_assets.market.bars import BAR_SCHEMA
from stock_assets.market.revisions import STORED_SCHEMA, merge_bars, stored_form
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.asking import as_traded

XNYS = load_calendar("XNYS")
SESSIONS = XNYS.between(date(2012, 1, 3), date(2012, 6, 29))
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class History:
    """One ticker: rows as traded, one per session from its listing on, and what a holder earned."""

    ticker: str
    rows: list[dict[str, object]]
    returns: list[float | None]


@st.composite
def histories(draw, ticker: str) -> History:
    """Prices that wander by up to 3 % a session, with up to four splits and six dividends."""
    listed = draw(st.integers(0, 30))
    count = len(SESSIONS) - listed
    seed = draw(st.integers(1, 10**6))
    at = st.integers(1, count - 1)
    splits = draw(st.dictionaries(at, st.sampled_from([2.0, 3.0, 1.5, 7.0, 0.1, 0.5]), max_size=4))
    dividends = draw(st.dictionaries(at, st.floats(0.001, 0.02), max_size=6))
    rows, returns, value, shares = [], [], 100.0, 1.0
    for n in range(count):
        # Deterministic noise: what matters is not how the price moves but how it is shown.
        noise = [math.sin(seed * (n + 1) * k) for k in (1.0, 1.7, 2.3, 3.1)]
        shares *= splits.get(n, 1.0)
        opened = value * (1 + 0.01 * noise[0])
        before, value = value, value * (1 + 0.03 * noise[1])
        # In shares of the first day: splits are not seen here at all.
        returns.append(math.log(value * (1 + dividends.get(n, 0.0)) / before) if n else None)
        body = (opened, value)
        price = {
            "open": opened,
            "high": max(body) * (1 + 0.01 * abs(noise[2])),
            "low": min(body) * (1 - 0.01 * abs(noise[3])),
            "close": value,
        }
        rows.append(
            {
                "ticker": ticker,
                "session": SESSIONS[listed + n],
                **{name: p / shares for name, p in price.items()},
                "volume": round(1e6 * shares * (1.5 + noise[2])),
                "dividend": dividends.get(n, 0.0) * value / shares,
                "split_ratio": splits.get(n, 1.0),
            }
        )
    return History(ticker, rows, returns)


def fetch(history: History, first: int, last: int, today: int) -> pl.DataFrame:
    """What a source says on the day `today` of sessions `first` to `last`, turned back."""
    shown, shares = [], 1.0
    for row in reversed([r for r in history.rows if r["session"] <= SESSIONS[today]]):
        shown.append(
            row
            | {name: row[name] / shares for name in (*PRICES, "dividend")}
            | {"volume": row["volume"] * shares}
            | {"split_ratio": 0.0 if row["split_ratio"] == 1 else row["split_ratio"]}
        )
        shares *= row["split_ratio"]
    bars = as_traded(pl.DataFrame(shown[::-1], BAR_SCHEMA)).select(*BAR_SCHEMA)
    at = datetime.combine(SESSIONS[today], time(22), tzinfo=UTC)
    inside = bars.filter(pl.col("session").is_between(SESSIONS[first], SESSIONS[last]))
    return stored_form(inside, "yahoo", at)


@st.composite
def fetches(draw) -> list[tuple[str, int, int, int]]:
    """(ticker, first, last, today): parts of the history on random days, then all that is left."""
    newest = len(SESSIONS) - 1
    calls = []
    for _ in range(draw(st.integers(0, 8))):
        today = draw(st.integers(0, newest))
        first = draw(st.integers(0, today))
        calls.append((draw(st.sampled_from("AB")), first, draw(st.integers(first, today)), today))
    return draw(st.permutations([*calls, ("A", 0, newest, newest), ("B", 0, newest, newest)]))


@given(histories("A"), histories("B"), fetches())
@hypothesis_settings(max_examples=60, deadline=None)
def test_features_are_those_of_a_clean_history(a: History, b: History, calls):
    of = {"A": a, "B": b}
    stored = pl.DataFrame(schema=STORED_SCHEMA)
    for ticker, first, last, today in calls:
        merged = merge_bars(stored, fetch(of[ticker], first, last, today))
        assert merged.refused.is_empty()
        assert merged.revised.is_empty(), merged.revised
        stored = merged.bars
    clean = pl.DataFrame([*a.rows, *b.rows], BAR_SCHEMA)
    assert stored.height == clean.height
    features = build_features(stored, XNYS)
    assert_frame_equal(features, build_features(clean, XNYS), rel_tol=1e-9, abs_tol=1e-9)
    earned = pl.Series("return_1d", [*a.returns, *b.returns])
    assert_series_equal(features["return_1d"], earned, rel_tol=1e-9, abs_tol=1e-12)
