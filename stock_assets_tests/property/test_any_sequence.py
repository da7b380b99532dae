"""Whatever happens to a dataset in whatever order, it ends as if made from nothing in one go.

A few sequences, always the same, and those that found a fault; services/ has many that are new.
"""

from collections.abc import Iterator
from datetime import date

import pytest

from stock_assets.asset_keys import Asset
from stock_assets.planning.lineage import MONTH_ASSETS, SESSION_ASSETS
from stock_assets_tests.sequences import Sequence, run_sequences, worlds_in
from stock_assets_tests.world import Worlds


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worlds]:
    with worlds_in(tmp_path_factory.mktemp("worlds")) as made:
        yield made


@pytest.fixture
def sequence(worlds: Worlds) -> Sequence:
    Sequence.worlds = worlds
    begun = Sequence()
    begun.begin()
    return begun


def test_some_sequences(worlds: Worlds):
    run_sequences(worlds, examples=1, steps=5, derandomize=True)


def test_a_month_that_lends_and_was_trained_again_twice(sequence: Sequence):
    sequence.world.materialise(MONTH_ASSETS, ["2012-01"], date(2012, 1, 23))
    # Through its last session: it knows as much as February's.
    sequence.world.materialise(MONTH_ASSETS, ["2012-01"], date(2012, 1, 31))
    sequence.settings_change({"seed": 7})
    sequence.a_price_is_revised(0, "T000")  # of October 2011: all months learn from it
    sequence.teardown()


def test_a_fresh_command_that_was_killed_goes_on(sequence: Sequence):
    world = sequence.world
    assets = (*SESSION_ASSETS[1:], *MONTH_ASSETS)
    before = world.made_at()
    world.killed_after(100, lambda: world.up_to_date(fresh=True))
    killed = world.made_at()
    kept = {key for key in before if killed.get(key) == before[key]}
    new = killed.keys() - kept
    assert {asset for asset, _ in new} == {Asset.FEATURES}
    assert any(asset == Asset.FEATURES for asset, _ in kept)
    assert world.plan()
    world.up_to_date()
    after = world.made_at()
    # What the killed command had made is made no second time, all else is; prices are facts.
    assert {key: after[key] for key in new} == {key: killed[key] for key in new}
    left = {(asset, key) for asset, key in kept if asset in assets and key not in world.issued}
    assert left
    assert all(after[key] > before[key] for key in left)
    assert all(after[key] == before[key] for key in kept if key[0] == Asset.RAW_PRICES)
    sequence.teardown()
