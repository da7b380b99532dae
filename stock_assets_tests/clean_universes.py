"""Simulated universes without a leak, in which all happens that a leak may hide behind."""

from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl

from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.leaks.futures import World
from stock_assets.leaks.stages import Plan
from stock_assets.market.bars import PRICES
from stock_assets.market.membership import Membership
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets_tests.simulated_prices import simulated_bars

_SESSIONS = 700


def clean_universe(calendar: ExchangeCalendar, seed: int) -> World:
    """Four tickers: one is split, one pays and leaves the index, one is delisted, one is listed.

    Some bars are missing.
    """
    dice = np.random.default_rng(seed)
    bars = simulated_bars(calendar, "2009-01-05", _SESSIONS, 4, seed=seed)
    sessions = bars["session"].unique().sort().to_list()

    def some(low: int, high: int) -> date:
        return sessions[int(dice.integers(low, high))]

    session, ticker = pl.col("session"), pl.col("ticker")
    split, paid, gone, listed = some(100, 650), some(100, 650), some(300, 690), some(1, 500)
    is_split = ticker == "T000"
    bars = bars.with_columns(
        *(pl.when(is_split & (session >= split)).then(pl.col(n) / 2).otherwise(n) for n in PRICES),
        split_ratio=pl.when(is_split & (session == split)).then(2.0).otherwise(1.0),
        dividend=pl.when((ticker == "T001") & (session == paid)).then(0.5).otherwise(0.0),
    ).filter(
        ~((ticker == "T002") & (session > gone)),
        ~((ticker == "T003") & (session < listed)),
        pl.Series(dice.random(bars.height) > 0.003),
    )
    world = World.of(bars)
    leaves = pl.when(ticker == "T001").then(pl.lit(some(300, 690)))
    return replace(world, membership=Membership(world.membership.spells.with_columns(last=leaves)))


def small_plan(calendar: ExchangeCalendar, first: date, family: str = "extra_trees") -> Plan:
    """Models of few trees."""
    return Plan(
        months=TrainingMonths(calendar, first, 36, 30, 120, 1, 3),
        budget=TuningBudget(family, trials=1, folds=4, trees=10, sample_cap=5_000, seed=1),
        trees=20,
        rmse_window=20,
    )
