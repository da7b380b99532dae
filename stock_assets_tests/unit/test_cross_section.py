"""Ranks and joint misses of a session, held against slow answers."""

import math
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from scipy.stats import spearmanr

from stock_assets.forecasting.cross_section import joint_misses, rank_information

D1 = date(2013, 1, 2)


def scores(forecast: np.ndarray, realised: np.ndarray) -> pl.DataFrame:
    """Shape (n_sessions, n_tickers) each; NaN where there is no row."""
    rows = [
        (f"T{t:02d}", D1 + timedelta(days=d), forecast[d, t], realised[d, t], 0.0)
        for d, t in np.ndindex(forecast.shape)
        if not np.isnan(forecast[d, t])
    ]
    names = ["ticker", "session", "forecast_return", "realised_return", "error_return"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_the_rank_correlation_is_the_mean_of_the_sessions_spearman():
    draw = np.random.default_rng(2)
    forecast = draw.normal(size=(60, 8)).round(1)  # with ties
    realised = draw.normal(size=(60, 8)) + 0.3 * forecast
    forecast[7] = 0.0  # all equal: says nothing
    forecast[9, 4:] = np.nan  # four tickers are too few
    forecast[10, 5:] = np.nan
    each = []
    for d in range(60):
        known = ~np.isnan(forecast[d])
        if known.sum() >= 5 and len(set(forecast[d][known])) > 1:
            each.append(spearmanr(forecast[d][known], realised[d][known]).statistic)
    found = rank_information(scores(forecast, realised))
    assert found["rank_ic_sessions"] == len(each) == 58
    assert found["rank_ic"] == pytest.approx(np.mean(each))
    # 58 sessions: floor(4 * 0.58 ** (2 / 9)) = 3 lags, Bartlett weights 3/4, 1/2, 1/4.
    centred = np.array(each) - np.mean(each)
    gamma = [centred[lag:] @ centred[: 58 - lag] / 58 for lag in range(4)]
    variance = gamma[0] + 2 * (0.75 * gamma[1] + 0.5 * gamma[2] + 0.25 * gamma[3])
    assert found["rank_ic_t"] == pytest.approx(np.mean(each) / math.sqrt(variance / 58))


def test_the_random_walk_ranks_nothing():
    realised = np.random.default_rng(3).normal(size=(30, 6))
    assert rank_information(scores(np.zeros((30, 6)), realised)) == {
        "rank_ic": None, "rank_ic_t": None, "rank_ic_sessions": 0,
    }  # fmt: skip


def sums_of(hits: np.ndarray, judged: np.ndarray) -> pl.DataFrame:
    return pl.DataFrame(
        {f"hits_{c}": hits.astype(float) for c in (50, 80, 95)}
        | {f"judged_{c}": judged.astype(float) for c in (50, 80, 95)}
    )


def test_joint_misses_by_hand():
    # Coverage 1, 1/2, 1 and 1/2 of 4, 4, 2 and 2 forecasts: 9 of 12.
    found = joint_misses(sums_of(np.array([4, 2, 2, 1, 0]), np.array([4, 4, 2, 2, 0])))["95"]
    assert found["sd_daily_coverage"] == pytest.approx(math.sqrt(4 * 0.25**2 / 3))
    expected = math.sqrt(0.75 * 0.25 * (1 / 4 + 1 / 4 + 1 / 2 + 1 / 2) / 4)
    assert found["sd_if_independent"] == pytest.approx(expected)
    assert joint_misses(sums_of(np.array([4]), np.array([4])))["80"] == {
        "sd_daily_coverage": None, "sd_if_independent": None,
    }  # fmt: skip


def test_independent_misses_vary_as_chance_does_and_crowds_more():
    draw = np.random.default_rng(4)
    judged = np.full(2000, 50)
    alone = joint_misses(sums_of(draw.binomial(50, 0.95, 2000), judged))["95"]
    assert alone["sd_daily_coverage"] == pytest.approx(alone["sd_if_independent"], rel=0.08)
    chance = draw.choice([0.99, 0.79], 2000, p=[0.8, 0.2])
    crowd = joint_misses(sums_of(draw.binomial(50, chance), judged))["95"]
    assert crowd["sd_if_independent"] == pytest.approx(alone["sd_if_independent"], rel=0.08)
    assert (crowd["sd_daily_coverage"] or 0) > 2 * (crowd["sd_if_independent"] or 1)
