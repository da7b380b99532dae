"""Sums and medians by session against plain Python over each session's rows."""

import math
import statistics
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.panel import Panel


@pytest.fixture
def rows() -> pl.DataFrame:
    """Twelve tickers of different lengths, some with holes, one that was not known at first."""
    random = np.random.default_rng(5)
    frames = []
    for ticker in range(12):
        begin, count = int(random.integers(0, 200)), int(random.integers(1, 300))
        ordinals = 1000 + begin + np.arange(count)
        if ticker % 3 == 0:
            ordinals = ordinals[random.random(count) > 0.2]
        n = len(ordinals)
        frames.append(
            pl.DataFrame(
                {
                    "ticker": [f"T{ticker:02}"] * n,
                    "session": [date(2000, 1, 1) + timedelta(days=int(day)) for day in ordinals],
                    "ordinal": ordinals,
                    "known": np.arange(n) >= 5 * (ticker % 2),
                    "value": random.normal(size=n) * 10.0 ** random.integers(-6, 6),
                }
            )
        )
    return pl.concat(frames)


def by_session(rows: pl.DataFrame, n_sessions: int) -> list[list[float]]:
    """The known values of each session, in the order of the tickers."""
    first = min(rows["ordinal"])
    found: list[list[float]] = [[] for _ in range(n_sessions)]
    for _, _, ordinal, known, value in rows.rows():
        if known:
            found[ordinal - first].append(value)
    return found


def test_a_sum_is_added_up_in_the_order_of_the_tickers(rows: pl.DataFrame):
    rows = rows.with_columns(value=pl.when(pl.col("ordinal") % 7 != 0).then("value"))
    panel = Panel.of(rows)
    total, count = panel.sums(rows["value"].to_numpy())
    for at, values in enumerate(by_session(rows, panel.n_sessions)):
        expected, there = 0.0, [v for v in values if v is not None]
        for value in there:
            expected += value
        assert (total[at], count[at]) == (expected, len(there))


def test_a_median_is_that_of_the_known_rows(rows: pl.DataFrame):
    panel = Panel.of(rows)
    values = rows["value"].to_numpy()
    ours, opposite = panel.medians([values, -values])
    for at, of in enumerate(by_session(rows, panel.n_sessions)):
        if of:
            assert ours[at] == pytest.approx(statistics.median(of), rel=1e-12)
            assert opposite[at] == pytest.approx(-ours[at], rel=1e-12)
        else:
            assert math.isnan(ours[at])
            assert math.isnan(opposite[at])


def test_a_row_gets_its_sessions_value(rows: pl.DataFrame):
    panel = Panel.of(rows)
    given = np.empty(rows.height)
    panel.spread(np.arange(panel.n_sessions, dtype=float), out=given)
    assert given.tolist() == (rows["ordinal"] - rows["ordinal"].min()).to_list()


def test_no_row_makes_no_session(rows: pl.DataFrame):
    panel = Panel.of(rows.head(0))
    total, count = panel.sums(np.empty(0))
    assert (panel.n_sessions, total.tolist(), count.tolist()) == (0, [], [])
    assert [median.tolist() for median in panel.medians([np.empty(0)])] == [[]]
