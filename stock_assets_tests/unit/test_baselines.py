"""The rivals of our intervals, held against slow answers."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.baselines import (
    baseline_laws,
    beside_baselines,
    conformal_rank,
    summarise_baselines,
)

D1 = date(2010, 1, 4)


def returns_of(**by_ticker: np.ndarray) -> pl.DataFrame:
    return pl.concat(
        pl.DataFrame(
            {
                "ticker": ticker,
                "session": [D1 + timedelta(days=n) for n in range(len(values))],
                "return_1d": values,
            }
        )
        for ticker, values in by_ticker.items()
    )


def test_ranks_are_those_of_the_finite_sample():
    # ceil(0.95 * 64), of 80 exactly 0.95 * 80 = 76, ceil(0.95 * 251).
    assert [conformal_rank(n) for n in (63, 79, 250)] == [61, 76, 239]


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_half_width_is_a_past_absolute_return(horizon: int):
    draw = np.random.default_rng(6)
    values = {
        "A": draw.standard_t(3, 400),
        "B": draw.normal(size=62),
        "C": draw.normal(size=70),
        "D": draw.normal(size=260),
    }
    found = baseline_laws(returns_of(**values), horizon)
    for ticker, own in values.items():
        sums = [own[n - horizon + 1 : n + 1].sum() for n in range(horizon - 1, len(own))]
        laws = found.filter(ticker=ticker)
        assert laws.height == max(len(own) - 62, 0)
        for session, half in laws.select("session", "half_width_split_conformal").iter_rows():
            known = np.abs(sums[: (session - D1).days - horizon + 2])[-250:]
            if len(known) < 63:
                assert half is None
                continue
            reach = np.sort(known)[int(np.ceil(0.95 * (len(known) + 1) - 1e-9)) - 1]
            assert half == pytest.approx(reach, rel=1e-12)


def test_the_interval_covers_what_it_says_and_has_no_crps():
    draw = np.random.default_rng(7)
    past = returns_of(**{f"T{n}": draw.standard_t(4, 1_000) for n in range(5)})
    scores = past.sort("ticker", "session").with_columns(
        as_of_session=pl.col("session").shift(1).over("ticker"),
        realised_return=pl.col("return_1d"),
        crps=pl.lit(0.5),
        interval_score_95=pl.lit(1.0),
    )
    rows = beside_baselines(scores.drop_nulls("as_of_session"), past)
    found = summarise_baselines(rows)["split_conformal"]
    assert found["forecasts"] == 5 * (1_000 - 63)
    assert found["coverage_95"] == pytest.approx(0.95, abs=0.01)
    assert (found["crps"], found["crps_forecast"]) == (None, 0.5)
    laws = baseline_laws(past)
    one = rows.row(100, named=True)
    half = laws.filter(ticker=one["ticker"], session=one["session"] - timedelta(days=1))[
        "half_width_split_conformal"
    ][0]
    outcome = past.filter(ticker=one["ticker"], session=one["session"])["return_1d"][0]
    expected = 2 * half + 40 * max(abs(outcome) - half, 0)
    assert one["interval_score_95_split_conformal"] == pytest.approx(expected)
    assert one["covered_95_split_conformal"] is (abs(outcome) <= half)
