"""The audit names each planted leak, and accuses nobody who is innocent.

More universes are in services/test_leak_audit.py.
"""

import time
from dataclasses import replace
from datetime import date

import numpy as np
import polars as pl
import pytest

from stock_assets.commands.audit_leaks import plan_of
from stock_assets.errors import NotEnoughHistoryError
from stock_assets.forecasting import families
from stock_assets.forecasting.families import LinearRidge, StandardisedRidge
from stock_assets.leaks.audit import CUT_OFF, REPLACED, audit, different
from stock_assets.leaks.cuts import BEFORE_HOLIDAY, IN_A_HOLE, RANDOM, choose_cuts
from stock_assets.leaks.futures import World, cut_after, replaced_after
from stock_assets.leaks.stages import STAGES, Plan
from stock_assets.leaks.zoo import LEAKS, visit
from stock_assets.market.bars import PRICES
from stock_assets.market.membership import Membership
from stock_assets.market.sessions import load_calendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.simulated_prices import simulated_bars

XNYS = load_calendar("XNYS")
FIVE_YEARS = World.of(sample_bars().filter(pl.col("session") >= date(2008, 3, 3)))
CUTS = 10


def plan(world: World, family: str = "ridge", **given: int) -> Plan:
    return plan_of(Settings(model_family=family, **given), XNYS, world.bars["session"].min())


def test_all_fifteen_leaks_are_named_by_asset_and_column_within_a_minute():
    start = time.monotonic()
    assert FIVE_YEARS.bars["ticker"].n_unique() == 5
    found = visit(FIVE_YEARS, plan(FIVE_YEARS, "extra_trees"), cuts=CUTS, seed=1)
    seconds = time.monotonic() - start
    assert len({leak.name for leak in LEAKS}) == 15
    assert [leak.name for leak in LEAKS if not leak.is_named(found[leak.name].changes)] == []
    assert seconds < 60


def clean_universe(seed: int) -> World:
    """Four tickers: a split, a dividend, one delisted, one listed late, holes, a former member."""
    dice = np.random.default_rng(seed)
    bars = simulated_bars(XNYS, "2009-01-05", 600, 4, seed=seed)
    sessions = bars["session"].unique().sort().to_list()
    split, paid, gone, listed, left = (
        sessions[int(dice.integers(low, high))]
        for low, high in ((100, 550), (100, 550), (300, 590), (1, 400), (300, 590))
    )
    session, ticker = pl.col("session"), pl.col("ticker")
    halved = (ticker == "T000") & (session >= split)
    eventful = bars.with_columns(
        *(pl.when(halved).then(pl.col(name) / 2).otherwise(name).alias(name) for name in PRICES),
        split_ratio=pl.when((ticker == "T000") & (session == split)).then(2.0).otherwise(1.0),
        dividend=pl.when((ticker == "T001") & (session == paid)).then(0.5).otherwise(0.0),
    ).filter(
        ~((ticker == "T002") & (session > gone)),
        ~((ticker == "T003") & (session < listed)),
        pl.Series(dice.random(bars.height) > 0.003),
    )
    world = World.of(eventful)
    last = pl.when(ticker == "T001").then(pl.lit(left))
    return replace(world, membership=Membership(world.membership.spells.with_columns(last=last)))


@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_is_accused_in_a_clean_universe(seed: int):
    world = clean_universe(seed)
    found = audit(world, plan(world, "ridge" if seed % 4 else "extra_trees"), cuts=CUTS, seed=seed)
    assert found.changes == []
    # Everything was looked at, or silence would say nothing.
    assert set(found.columns) == {stage.asset for stage in STAGES}
    assert {BEFORE_HOLIDAY, IN_A_HOLE, RANDOM} < {cut.because for cut in found.cuts}
    assert sum(cut.trains for cut in found.cuts) == 2


class _OfAllRows(StandardisedRidge):
    """Standardises what it forecasts by the rows that it is asked for together."""

    def predict(self, X):  # noqa: N803
        self.centre_ = X.to_numpy().mean(axis=0)
        return super().predict(X)


class _LeakyFamily(LinearRidge):
    def build(self, params, n_rows, means):  # noqa: ARG002
        return _OfAllRows(**params)


def test_a_family_whose_forecast_depends_on_other_rows_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(families.FAMILIES, "ridge", _LeakyFamily())
    world = clean_universe(5)
    found = audit(world, plan(world), cuts=CUTS, seed=5)
    assert {change.asset for change in found.changes} == {"daily_forecast"}
    assert "forecast_return" in {change.column for change in found.changes}


def test_columns_are_compared_to_the_last_bit():
    def of(*values: float | None) -> pl.Series:
        return pl.Series(values, dtype=pl.Float64)

    assert different(of(1.0, None, 0.0, 0.1), of(1.0, None, -0.0, 0.1 + 2**-56)).tolist() == [
        False, False, True, True,
    ]  # fmt: skip
    assert different(of(None, 1.0), of(float("nan"), None)).tolist() == [True, True]
    assert different(pl.Series([[1.0], None]), pl.Series([[2.0], None])).tolist() == [True, False]
    assert different(pl.Series(["a", None]), pl.Series(["a", "b"])).tolist() == [False, True]
    assert different(pl.Series([1]), pl.Series([1.0])).tolist() == [True]


def test_worlds_agree_up_to_the_cut_and_differ_after_it():
    at = date(2011, 6, 15)
    members = FIVE_YEARS.membership.spells.with_columns(
        last=pl.when(pl.col("ticker") == "IBM").then(date(2012, 1, 3))
    )
    world = replace(FIVE_YEARS, membership=Membership(members))
    known = pl.col("session") <= at
    for other in (cut_after(world, at), replaced_after(world, at, seed=1)):
        assert other.bars.filter(known).equals(world.bars.filter(known))
    evening = cut_after(world, at)
    assert evening.bars["session"].max() == at
    # On that evening nobody knows that IBM will leave.
    assert evening.membership.spells["last"].null_count() == 4
    assert evening.membership.tickers == ("AAPL", "GOOG", "IBM", "MSFT")
    another = replaced_after(world, at, seed=1)
    later = another.bars.filter(~known).join(world.bars, on=["ticker", "session"])
    assert later.height > 1000
    assert (later["close"] != later["close_right"]).all()
    delisted = set(world.bars["ticker"]) - set(
        another.bars.filter(pl.col("session") > XNYS.offset(at, 1))["ticker"]
    )
    assert len(delisted) == 1
    assert another.membership.spells["last"].to_list().count(at) == 1
    assert another.revisions.height == 20
    assert (another.revisions["known_from"] > at).all()
    assert (another.revisions["session"] <= at).all()


def test_the_same_seed_chooses_the_same_cuts_and_a_short_history_is_refused():
    setup = plan(FIVE_YEARS)
    cuts, _ = choose_cuts(FIVE_YEARS, setup, 12, seed=3)
    assert cuts == choose_cuts(FIVE_YEARS, setup, 12, seed=3)[0]
    assert len({cut.session for cut in cuts}) == len(cuts) == 12
    assert cuts != choose_cuts(FIVE_YEARS, setup, 12, seed=4)[0]
    short = World.of(FIVE_YEARS.bars.filter(pl.col("session") < date(2008, 6, 1)))
    with pytest.raises(NotEnoughHistoryError, match="too few for an audit"):
        audit(short, plan(short), cuts=3, seed=1)


def test_without_enough_history_for_a_model_the_rest_is_audited():
    world = World.of(FIVE_YEARS.bars.filter(pl.col("session") < date(2008, 9, 1)))
    found = audit(world, plan(world), cuts=5, seed=1)
    assert found.changes == []
    assert set(found.columns) == {"raw_prices", "features", "daily_forecast", "forecast_rmse"}
    peeking = next(leak for leak in LEAKS if leak.name == "peeking_feature")
    named = audit(world, plan(world), cuts=5, seed=1, stages=peeking.stages).changes
    assert {change.how for change in named} == {CUT_OFF, REPLACED}


def test_the_page_lists_the_planted_leaks():
    page = (CHECKOUT / "docs" / "leaks.md").read_text(encoding="utf-8")
    for leak in LEAKS:
        columns = ", ".join(f"`{column}`" for column in leak.columns)
        assert f"| `{leak.name}` | {leak.meaning} | `{leak.asset}`: {columns} |" in page
    assert page.count("\n| `") == len(LEAKS)
