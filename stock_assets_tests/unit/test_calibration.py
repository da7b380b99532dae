"""Error bars hold the truth as often as they say, and the tests are the published ones."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from stock_assets.forecasting.calibration import (
    calibration_tests,
    count_rejections,
    coverage_confidence,
    likelihood_ratio_tests,
    skill_confidence,
)
from stock_assets.forecasting.evaluation import SCORE_SCHEMA
from stock_assets.forecasting.long_run_variance import confidence_factor
from stock_assets.forecasting.session_sums import session_sums

D1 = date(2013, 1, 2)


def sums_of(**columns: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(columns)


def hits(shares: np.ndarray, judged: int) -> pl.DataFrame:
    """Sums of sessions with so many forecasts each, of which so many held the target."""
    n = len(shares)
    return sums_of(
        **{f"hits_{c}": shares for c in (50, 80, 95)},
        **{f"judged_{c}": np.full(n, float(judged)) for c in (50, 80, 95)},
    )


def test_sums_of_a_session_by_hand():
    rows = [
        {"ticker": "A", "session": D1, "error_return": 3.0, "error_return_random_walk": -1.0,
         "interval_score_95": 0.5, "covered_95": True, "covered_50": False},
        {"ticker": "B", "session": D1, "error_return": 1.0, "error_return_random_walk": 2.0},
        {"ticker": "B", "session": D1 + timedelta(days=3), "covered_95": True},
    ]  # fmt: skip
    found = session_sums(
        pl.DataFrame(
            rows, schema={n: t for n, t in SCORE_SCHEMA.items() if n in {*rows[0], "covered_80"}}
        )
    )
    assert found.row(0, named=True) == {
        "session": D1, "forecasts": 2, "squared_error": 10.0, "squared_error_random_walk": 5.0,
        "absolute_return": 3.0, "intervals": 1.0, "interval_score_95": 0.5,
        "judged_50": 1.0, "judged_80": 0.0, "judged_95": 1.0,
        "hits_50": 0.0, "hits_80": 0.0, "hits_95": 1.0,
    }  # fmt: skip
    assert found.height == 1


def test_the_confidence_interval_of_coverage_by_hand():
    # Ten sessions of ten forecasts, hits 10 and 8 by turns: residuals of plus and minus one.
    found = coverage_confidence(hits(np.array([10.0, 8.0] * 5), 10))["95"]
    # Two lags, weights 2/3 and 1/3: 10 - 2 * 2/3 * 9 + 2 * 1/3 * 8 = 3.333, over 100 forecasts.
    half = confidence_factor(10) * math.sqrt(10 / 3) / 100
    assert found == pytest.approx([0.9 - half, min(0.9 + half, 1.0)])


def test_few_sessions_or_no_variance_tell_no_confidence():
    assert coverage_confidence(hits(np.array([10.0, 8.0] * 4 + [8.0]), 10))["95"] is None
    assert coverage_confidence(hits(np.full(50, 10.0), 10))["95"] is None
    never = np.full(20, 2.0)
    same = sums_of(squared_error=never, squared_error_random_walk=never)
    assert skill_confidence(same) == [0.0, 0.0]
    assert skill_confidence(same.head(9)) is None
    assert skill_confidence(same * 0.0) is None


def test_the_factor_is_wide_for_few_sessions_and_the_normal_laws_for_many():
    # Kiefer & Vogelsang (2002, Econometric Theory 18): 4.771 where the bandwidth is the sample.
    assert confidence_factor(2) == pytest.approx(4.771, abs=0.05)
    assert confidence_factor(10**7) == pytest.approx(1.96, abs=0.001)


def test_confidence_intervals_hold_the_truth_in_95_of_100():
    draw = np.random.default_rng(11)
    held_coverage = held_skill = 0
    tries, sessions, tickers = 600, 250, 20
    for _ in range(tries):
        # Misses of a session come together: each ticker's chance is the session's own.
        chance = draw.choice([0.99, 0.79], sessions, p=[0.8, 0.2])
        inside = draw.binomial(tickers, chance).astype(float)
        low, high = coverage_confidence(hits(inside, tickers))["95"] or (1.0, 0.0)
        held_coverage += low <= 0.95 <= high
        # A random walk whose squared errors are a tenth larger on average: skill 1 - sqrt(1/1.1).
        common = draw.gamma(2, 1, sessions)
        own = common * draw.gamma(20, 1 / 20, sessions)
        naive = 1.1 * common * draw.gamma(20, 1 / 20, sessions)
        low, high = skill_confidence(
            sums_of(squared_error=own, squared_error_random_walk=naive)
        ) or (1.0, 0.0)
        held_skill += low <= 1 - math.sqrt(1 / 1.1) <= high
    # Chance alone has a standard deviation of 0.9 points.
    assert held_coverage / tries == pytest.approx(0.95, abs=0.03)
    assert held_skill / tries == pytest.approx(0.95, abs=0.03)


@given(st.lists(st.booleans(), min_size=2, max_size=60), st.sampled_from([0.05, 0.2, 0.5]))
def test_likelihood_ratios_are_those_of_the_binomial_law(misses: list[bool], level: float):
    missed = np.array(misses)
    follows = np.arange(len(missed)) > 0
    kupiec, independence, both = likelihood_ratio_tests(missed, follows, level)

    def likelihood(of: np.ndarray, chance: float | None = None) -> float:
        share = of.mean() if chance is None and len(of) else chance
        return float(binom.logpmf(of.sum(), len(of), share)) if len(of) else 0.0

    def p(ratio: float, freedom: int) -> float:
        return float(chi2.sf(max(ratio, 0), freedom))

    assert kupiec == pytest.approx(p(2 * (likelihood(missed) - likelihood(missed, level)), 1))
    # Ways to order the misses are no part of either likelihood here: taken out on both sides.
    groups = [missed[1:][missed[:-1]], missed[1:][~missed[:-1]]]

    def ordered(of: np.ndarray, chance: float | None = None) -> float:
        ways = float(binom.logpmf(of.sum(), len(of), 0.5)) - len(of) * math.log(0.5)
        return likelihood(of, chance) - ways if len(of) else 0.0

    either = sum(ordered(group) for group in groups)
    assert independence == pytest.approx(p(2 * (either - ordered(missed[1:])), 1), abs=1e-9)
    assert both == pytest.approx(p(2 * (either - ordered(missed[1:], level)), 2), abs=1e-9)


def test_kupiecs_own_example_and_misses_in_a_row():
    # Kupiec (1995), table 3: of 255 days at 5 %, fewer than 7 or more than 20 misses are rejected.
    def kupiec(misses: int) -> float:
        missed = np.arange(255) < misses
        return likelihood_ratio_tests(missed, np.arange(255) > 0, 0.05)[0]

    assert [kupiec(n) < 0.05 for n in (6, 7, 20, 21)] == [True, False, False, True]
    in_a_row = np.arange(255) % 100 < 5
    right, dependent, both = likelihood_ratio_tests(in_a_row, np.arange(255) > 0, 0.05)
    assert right > 0.5
    assert dependent is not None
    assert both is not None
    assert max(dependent, both) < 1e-6


def ticker_scores(missed: np.ndarray, absent: frozenset[int] = frozenset()) -> pl.DataFrame:
    """Scores of one ticker, a session a day; without a row on some of them."""
    rows = [
        {
            "ticker": "A",
            "session": D1 + timedelta(days=n + 1),
            "as_of_session": D1 + timedelta(days=n),
            "error_return": 0.0,
            **{f"covered_{c}": not miss for c in (50, 80, 95)},
        }
        for n, miss in enumerate(missed.tolist())
        if n not in absent
    ]
    return pl.DataFrame(rows, schema={n: t for n, t in SCORE_SCHEMA.items() if n in rows[0]})


def test_a_session_without_a_forecast_parts_neighbours():
    missed = np.arange(80) % 40 < 2
    missed[[1, 41]] = False
    missed[[2, 42]] = True
    whole, parted = ticker_scores(missed), ticker_scores(missed, frozenset({1, 41}))
    follows = np.arange(80) > 0
    assert calibration_tests(whole)["independence_p"]["95"] == pytest.approx(
        likelihood_ratio_tests(missed, follows, 0.05)[1]
    )
    kept = np.array([n for n in range(80) if n not in {1, 41}])
    neighbours = np.array([n not in {0, 2, 42} for n in kept])
    expected = likelihood_ratio_tests(missed[kept], neighbours, 0.05)
    found = calibration_tests(parted.sample(fraction=1, shuffle=True, seed=1))
    assert found["independence_p"]["95"] == pytest.approx(expected[1])
    assert found["christoffersen_p"]["95"] == pytest.approx(expected[2])
    # As if 0 and 2 were neighbours, two misses would stand in a row.
    assert found["independence_p"]["95"] != pytest.approx(
        likelihood_ratio_tests(missed[kept], np.arange(78) > 0, 0.05)[1]
    )


def test_few_forecasts_or_overlapping_ones_are_not_tested():
    nothing = {"50": None, "80": None, "95": None}
    enough = ticker_scores(np.arange(63) % 20 == 0)
    assert calibration_tests(enough)["kupiec_p"]["95"] is not None
    for found in (calibration_tests(enough.head(62)), calibration_tests(enough, horizon=2)):
        assert found == {
            f"{test}_p": nothing for test in ("kupiec", "independence", "christoffersen")
        }


def test_rejections_are_counted_beside_chance():
    def one(p: float | None) -> dict[str, dict[str, float | None]]:
        return {
            f"{test}_p": {"50": 0.5, "80": None, "95": p}
            for test in ("kupiec", "independence", "christoffersen")
        }

    found = count_rejections([one(0.01), one(0.049), one(0.05), one(None)])
    assert found["kupiec"]["95"] == {
        "tickers": 3, "rejected": 2, "expected_by_chance": pytest.approx(0.15),
    }  # fmt: skip
    assert found["christoffersen"]["80"] == {
        "tickers": 0, "rejected": 0, "expected_by_chance": 0.0,
    }  # fmt: skip


def test_tests_reject_one_in_twenty_of_intervals_that_are_right():
    draw = np.random.default_rng(3)
    follows = np.arange(1000) > 0
    found = [likelihood_ratio_tests(draw.random(1000) < 0.2, follows, 0.2) for _ in range(2000)]
    for of in zip(*found, strict=True):
        # Chance alone has a standard deviation of 0.5 points.
        assert np.mean(np.array(of) < 0.05) == pytest.approx(0.05, abs=0.015)
