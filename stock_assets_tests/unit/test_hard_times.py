"""Coverage is told where it is most likely to fail."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.hard_times import (
    coverage_after_gaps,
    coverage_by_regime,
    worst_sessions,
    worst_weeks,
)
from stock_assets.forecasting.session_sums import session_sums

MONDAY = date(2013, 1, 7)


def scores(rows: list[tuple[str, date, float, bool]]) -> pl.DataFrame:
    """Ticker, session, return, whether all three intervals held it."""
    names = ("ticker", "session", "error_return", "error_return_random_walk", "interval_score_95")
    kept = {n: SCORE_SCHEMA[n] for n in (*names, "covered_50", "covered_80", "covered_95")}
    found = [
        (t, d, r, r, 0.01 if inside else 10 * abs(r), *[inside] * 3) for t, d, r, inside in rows
    ]
    return pl.DataFrame(found, schema=kept, orient="row")


@pytest.mark.parametrize("horizon", [1, 3])
def test_a_regime_is_what_was_known_before_the_forecast(horizon: int):
    # Returns of 1 %, then 3 % from the 40th session on, then 2 % from the 70th on.
    size = np.select([np.arange(100) < 40, np.arange(100) < 70], [0.01, 0.03], 0.02)
    days = [MONDAY + timedelta(days=n) for n in range(100)]
    # Each session's own level says nothing of its regime: only in the 40th is all outside.
    rows = [("A", day, float(size[n]), n != 40) for n, day in enumerate(days)]
    found = coverage_by_regime(session_sums(scores(rows)), horizon)
    first = 21 + horizon
    means = [size[n - first : n - first + 22].mean() for n in range(first, 100)]
    limits = np.quantile(means, [1 / 3, 2 / 3])
    regime_of_40 = int(np.searchsorted(limits, means[40 - first]))
    assert regime_of_40 == 0
    assert list(found) == ["calm", "middle", "turbulent"]
    counts = [int((np.searchsorted(limits, means) == n).sum()) for n in range(3)]
    assert [found[name]["sessions"] for name in found] == counts
    assert found["calm"]["coverage"]["95"] == pytest.approx(1 - 1 / counts[0])
    assert found["turbulent"]["coverage"]["95"] == 1.0


def test_a_range_of_a_month_has_no_regimes():
    days = [MONDAY + timedelta(days=n) for n in range(24)]
    assert coverage_by_regime(session_sums(scores([("A", d, 0.01, True) for d in days]))) == {}


def test_after_gaps_counts_the_first_forecast_after_a_session_without():
    days = [MONDAY + timedelta(days=n) for n in (0, 1, 2, 7, 8, 9)]
    there = {"A": (0, 1, 2, 3, 4, 5), "B": (1, 2, 4, 5), "C": (0, 3, 5)}
    rows = [
        # B's first, in the second session, follows no gap; its 5th does; so do both of C's later.
        (ticker, days[n], 0.01, (ticker, n) != ("C", 3))
        for ticker, held in there.items()
        for n in held
    ]
    found = coverage_after_gaps(scores(rows))
    assert found["forecasts"] == 3
    assert found["coverage"]["95"] == pytest.approx(2 / 3)
    assert coverage_after_gaps(scores(rows[:6]))["coverage"]["95"] is None
    assert coverage_after_gaps(scores([])) == {
        "forecasts": 0, "coverage": {"50": None, "80": None, "95": None},
    }  # fmt: skip


def test_the_worst_weeks_are_those_with_the_largest_returns():
    rows = [
        ("A", MONDAY + timedelta(weeks=week, days=day), 0.01 * (week + 1), week != 6 or day > 0)
        for week in range(7)
        for day in range(4)
    ]
    found = worst_weeks(session_sums(scores(rows)))
    assert [week["monday"] for week in found] == [
        "2013-02-18", "2013-02-11", "2013-02-04", "2013-01-28", "2013-01-21",
    ]  # fmt: skip
    assert found[0]["mean_squared_return"] == pytest.approx(0.07**2)
    assert (found[0]["sessions"], found[0]["forecasts"]) == (4, 4)
    assert [week["coverage"]["95"] for week in found[:2]] == [0.75, 1.0]


def test_the_worst_sessions_are_named():
    rows = []
    for n in range(14):
        # The 3rd misses both, the 5th and 6th one each, the 6th by more.
        outside = {3: 2, 5: 1, 6: 1}.get(n, 0)
        day = MONDAY + timedelta(days=n)
        rows += [
            ("A", day, 0.02 if n == 6 else 0.01, outside < 1),
            ("B", day, 0.01, outside < 2),
        ]
    found = worst_sessions(session_sums(scores(rows)))
    assert [one["session"] for one in found[:3]] == ["2013-01-10", "2013-01-13", "2013-01-12"]
    assert [one["missed_95"] for one in found[:4]] == [1.0, 0.5, 0.5, 0.0]
    assert len(found) == 10
    assert found[1] == {
        "session": "2013-01-13",
        "forecasts": 2,
        "missed_95": 0.5,
        "mean_interval_score_95": pytest.approx((0.2 + 0.01) / 2),
        "mean_squared_error": pytest.approx((0.02**2 + 0.01**2) / 2),
    }
