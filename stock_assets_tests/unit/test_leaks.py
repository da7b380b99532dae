"""The audit for look-ahead: it names every planted leak, and accuses nothing that is honest.

At full size, on clean universes too, in services/test_leak_audit.py.
"""

from datetime import date
from functools import partial
from typing import Any

import numpy as np
import polars as pl
import pytest

from stock_assets.commands.audit_leaks import audit_leaks, lines
from stock_assets.errors import NotEnoughHistoryError
from stock_assets.leaks.audit import audit, different
from stock_assets.leaks.futures import World, cut_after, replaced_after
from stock_assets.leaks.stages import STAGES
from stock_assets.leaks.zoo import LEAKS, Leak, visit
from stock_assets.market.sessions import ExchangeCalendar
from stock_assets.market.sources.sample import sample_bars
from stock_assets.settings import Settings
from stock_assets_tests.clean_universes import small_plan
from stock_assets_tests.conftest import CHECKOUT

FIRST = date(2010, 3, 1)


@pytest.fixture(scope="module")
def world() -> World:
    return World.of(sample_bars().filter(pl.col("session") >= FIRST))


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.name)
def test_a_planted_leak_is_named_by_asset_and_column(
    leak: Leak, world: World, xnys: ExchangeCalendar
):
    found = visit(world, small_plan(xnys, FIRST), [leak], cuts=10, seed=1)[leak.name]
    assert {change.asset for change in found.changes} == {leak.asset}
    assert {change.column for change in found.changes} >= set(leak.columns)


def test_the_pipeline_as_it_is_has_none(world: World, xnys: ExchangeCalendar):
    found = audit(world, small_plan(xnys, FIRST, "ridge"), cuts=6, seed=2)
    assert found.changes == []
    assert set(found.columns) == {stage.asset for stage in STAGES}
    assert sum(cut.trains for cut in found.cuts) == 2


def test_another_future_leaves_the_past_and_nothing_else(world: World):
    session = date(2012, 5, 3)
    other = replaced_after(world, session, seed=3)
    known = pl.col("session") <= session
    assert other.bars.filter(known).equals(world.bars.filter(known))
    assert cut_after(other, session).bars.equals(cut_after(world, session).bars)
    both = world.bars.join(other.bars, on=["ticker", "session"]).filter(~known)
    assert 0.5 * world.bars.filter(~known).height < both.height < world.bars.filter(~known).height
    assert (both["close"] != both["close_right"]).all()
    assert replaced_after(world, session, seed=3).bars.equals(other.bars)


def test_values_are_compared_to_the_last_bit():
    one = pl.Series([1.0, 0.0, None, float("nan"), 2.0])
    other = pl.Series([np.nextafter(1.0, 2), -0.0, None, float("nan"), None])
    assert different(one, other).tolist() == [True, True, False, False, True]
    assert different(pl.Series(["a", None]), pl.Series(["a", "b"])).tolist() == [False, True]


def test_a_leak_is_told_with_one_of_its_values(world: World, xnys: ExchangeCalendar):
    leak = next(one for one in LEAKS if one.name == "peeking_feature")
    found = audit(world, small_plan(xnys, FIRST), cuts=3, seed=1, stages=leak.stages)
    change = found.changes[0]
    assert (change.asset, change.column, change.rows) == ("features", "close_location", 4)
    assert change.example["session"] == str(change.cut)
    assert " became " in change.example["change"]


QUICK_AUDIT = partial(audit_leaks, first=FIRST, last=date(2012, 3, 1), sessions=2, seed=1)


def test_the_command_says_what_was_compared():
    found: dict[str, Any] = QUICK_AUDIT(Settings(tickers="AAPL,IBM", model_family="ridge"))
    assert (found["ok"], found["tickers"], found["leaks"]) == (True, 2, [])
    first, second, third = lines(found)
    assert first == (
        "2010-03-01 .. 2012-03-01, 2 tickers: at 2 sessions the future was cut off and replaced"
    )
    assert second.startswith("columns compared, to the last bit: raw_prices ")
    assert third == "nothing that was known before changed"


def test_a_leaky_feature_of_ones_own_is_told_by_the_command(monkeypatch: pytest.MonkeyPatch):
    from stock_assets.leaks import stages

    honest = stages.build_features

    def peeking(*given: Any) -> pl.DataFrame:
        rows = honest(*given)
        return rows.with_columns(pl.col("momentum_5").shift(-1).over("ticker"))

    monkeypatch.setattr(stages, "build_features", peeking)
    found = QUICK_AUDIT(Settings(tickers="AAPL,IBM", model_family="ridge"))
    assert not found["ok"]
    assert {(leak["asset"], leak["column"]) for leak in found["leaks"]} == {
        ("features", "momentum_5")
    }
    assert lines(found)[2].startswith(
        "LEAK features.momentum_5: changed at 2 session(s); as of 201"
    )


def test_too_short_a_range_is_one_line():
    with pytest.raises(NotEnoughHistoryError, match=r"20 sessions are too few for an audit"):
        audit_leaks(Settings(), date(2013, 2, 1), date(2013, 3, 1), 2, 1)


def test_the_page_lists_the_planted_leaks():
    page = (CHECKOUT / "docs" / "leaks.md").read_text(encoding="utf-8")
    for leak in LEAKS:
        columns = ", ".join(f"`{column}`" for column in leak.columns)
        assert f"| `{leak.name}` | {leak.meaning} | `{leak.asset}`: {columns} |" in page
    assert page.count("\n| `") == len(LEAKS) == 15
