"""The audit for look-ahead on many universes. It needs no server; it is here for its time."""

import pytest

from stock_assets.leaks.audit import audit
from stock_assets.leaks.futures import World
from stock_assets.leaks.zoo import LEAKS, visit
from stock_assets_tests.simulated_prices import simulated_bars
from stock_assets_tests.unit.test_leaks import CUTS, XNYS, clean_universe, plan


@pytest.mark.parametrize("seed", range(100, 120))
def test_nobody_is_accused_in_a_clean_universe(seed: int):
    world = clean_universe(seed)
    found = audit(world, plan(world, "ridge" if seed % 4 else "extra_trees"), cuts=CUTS, seed=seed)
    assert found.changes == []


def test_longer_horizons_are_clean_too():
    world = clean_universe(77)
    assert audit(world, plan(world, horizon=3), cuts=CUTS, seed=7).changes == []


@pytest.mark.parametrize("seed", [2, 3])
def test_leaks_are_named_at_other_sessions_and_prices_too(seed: int):
    world = World.of(simulated_bars(XNYS, "2009-01-05", 800, 5, seed=seed))
    found = visit(world, plan(world), cuts=CUTS, seed=seed)
    assert [leak.name for leak in LEAKS if not leak.is_named(found[leak.name].changes)] == []
