"""The gate on intervals, held to laws that are honest and to laws that were broken on purpose."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from functools import cache

import numpy as np
import polars as pl
import pytest

from stock_assets.forecasting.baselines import normal_crps
from stock_assets.forecasting.features import build_features
from stock_assets.forecasting.gate import Comparison, GateDecision, compare, decide_intervals
from stock_assets.forecasting.interval_losses import (
    CRPS,
    INTERVAL_SCORE,
    NORMAL_LAW,
    beside_the_normal_law,
    daily_interval_losses,
)
from stock_assets.forecasting.intervals import (
    IntervalModel,
    StandardQuantiles,
    fit_intervals,
    normal_quantiles,
)
from stock_assets.forecasting.splits import labelled_rows
from stock_assets.forecasting.volatility import REGRESSORS, VolatilityModel
from stock_assets.market.sessions import load_calendar
from stock_assets_tests.simulated_prices import simulated_bars

XNYS = load_calendar("XNYS")
HISTORIES, TEST_SESSIONS, MARGIN = 12, 30, 0.02


@cache
def history(seed: int) -> tuple[IntervalModel, IntervalModel, pl.DataFrame]:
    """A candidate's law, that of a month before, and the test set that neither has seen."""
    bars = simulated_bars(XNYS, "2010-01-04", 500, 15, seed, steps=24)
    rows = labelled_rows(build_features(bars, XNYS), XNYS)
    days = rows["session"].unique().sort().to_list()
    last = days[-TEST_SESSIONS - 2]
    champion = fit_intervals(rows.filter(pl.col("session") <= days[-TEST_SESSIONS - 23]))
    candidate = fit_intervals(rows.filter(pl.col("session") <= last))
    return candidate, champion, rows.filter(pl.col("session") >= days[-TEST_SESSIONS])


def changed(law: IntervalModel, change: Callable[[np.ndarray], np.ndarray]) -> IntervalModel:
    """The law with all its quantiles changed."""

    def of(old: StandardQuantiles) -> StandardQuantiles:
        grid, bounds = (change(np.array(values)) for values in (old.grid, old.bounds))
        return StandardQuantiles(old.law, tuple(grid), tuple(bounds))

    return replace(
        law,
        pooled=of(law.pooled),
        by_ticker={ticker: of(own) for ticker, own in law.by_ticker.items()},
    )


def judged(seed: int, change: Callable[[np.ndarray], np.ndarray]) -> GateDecision:
    candidate, champion, test = history(seed)
    losses = beside_the_normal_law(test, changed(candidate, change))
    before = daily_interval_losses(test, champion)

    def compared(loss: str) -> list[Comparison]:
        own = losses[loss].to_numpy()
        references = {NORMAL_LAW: losses[f"{loss}_{NORMAL_LAW}"], "champion": before[loss]}
        return [compare(n, own, r.to_numpy(), loss=loss) for n, r in references.items()]

    return decide_intervals(compared(CRPS), compared(INTERVAL_SCORE), MARGIN)


@pytest.mark.timeout(300)
def test_honest_widths_are_approved():
    assert sum(judged(seed, lambda q: q).approved for seed in range(HISTORIES)) >= HISTORIES - 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "change",
    [
        lambda q: q / 2,
        lambda q: q * 2,
        # What lies beyond the 80 % or the 90 % interval of a normal law is cut off.
        lambda q: np.clip(q, -1.28, 1.28),
        lambda q: np.clip(q, -1.64, 1.64),
        lambda q: q + 0.5,
    ],
    ids=["half", "double", "no tails", "short tails", "off centre"],
)
def test_broken_widths_are_rejected(change: Callable[[np.ndarray], np.ndarray]):
    assert not any(judged(seed, change).approved for seed in range(HISTORIES))


def test_cut_tails_are_what_crps_alone_would_let_pass():
    candidate, _, test = history(0)
    cut = changed(candidate, lambda q: np.clip(q, -1.64, 1.64))
    honest, broken = (daily_interval_losses(test, law).mean() for law in (candidate, cut))
    assert broken[CRPS].item() < (1 + MARGIN) * honest[CRPS].item()
    assert broken[INTERVAL_SCORE].item() > 1.2 * honest[INTERVAL_SCORE].item()


def rows_of(returns: list[float], volatility: float = 0.01) -> pl.DataFrame:
    days = [date(2012, 1, 3) + timedelta(days=n // 2) for n in range(len(returns))]
    return pl.DataFrame(
        {
            "ticker": [f"T{n % 2}" for n in range(len(returns))],
            "session": days,
            "volatility_1d": volatility,
            "return_next": returns,
            "label": 1.0,  # whatever they are: of the usual size, so that both tickers weigh one
        }
    )


def test_the_normal_laws_losses_are_the_closed_forms_in_units_of_volatility():
    # One day with returns of 1 and -3 volatilities.
    found = daily_interval_losses(rows_of([0.01, -0.03]), None).row(0, named=True)
    z = np.array([1.0, -3.0])
    closed = normal_crps(z, np.zeros(2), np.ones(2))
    # Fifty quantiles stand for the law: within a hundredth of it.
    assert found[CRPS] == pytest.approx(closed.mean(), rel=0.02)
    # Width 3.92; the second return lies 1.04 beyond the bound, which costs forty times as much.
    assert found[INTERVAL_SCORE] == pytest.approx(3.92 + 40 * (3 - 1.96) / 2, abs=0.01)
    dear = daily_interval_losses(rows_of([0.1, -0.3], 0.1), None).row(0, named=True)
    assert dear[CRPS] == pytest.approx(found[CRPS])


def test_one_crash_counts_as_six_units():
    crash, six = (daily_interval_losses(rows_of([-z / 100, 0.0]), None) for z in (40, 6))
    assert crash.equals(six)
    # Over four sessions the law is twice as wide, and so is what counts.
    four = daily_interval_losses(rows_of([-0.4, 0.0]), None, horizon=4)
    assert four.equals(daily_interval_losses(rows_of([-0.12, 0.0]), None, horizon=4))
    assert not four.equals(daily_interval_losses(rows_of([-0.11, 0.0]), None, horizon=4))


def test_a_ticker_whose_volatility_is_misjudged_weighs_no_more_than_another():
    """Its errors count in what its labels usually are: six times as large, a sixth each."""
    rows = rows_of([0.01, 0.01]).with_columns(label=pl.Series([1.0, 6.0]))
    usual = daily_interval_losses(rows_of([0.01, 0.01]), None)
    found = daily_interval_losses(rows, None)
    for loss in (CRPS, INTERVAL_SCORE):
        assert found[loss][0] == pytest.approx(usual[loss][0] * (1 + 1 / 6) / 2)


def test_rows_without_a_width_are_left_out():
    law = IntervalModel(
        1,
        VolatilityModel((float("nan"),) * len(REGRESSORS)),
        normal_quantiles(),
        normal_quantiles(),
        {},
    )
    _, _, test = history(0)
    assert daily_interval_losses(test, law).is_empty()
