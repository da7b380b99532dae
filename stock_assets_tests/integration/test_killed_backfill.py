"""kill -9 at a random moment of a backfill, and two backfills at once: the state is that of one.

Ten more moments are in services/test_ten_kills.py.
"""

import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stock_assets.market.sessions import load_calendar
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import (
    Nursery,
    assert_nothing_twice_or_open,
    comparable,
    kill,
    nursery,
)
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.simulated_prices import Law, simulated_bars

FIRST, LAST = "2012-01-27", "2012-02-06"


@dataclass
class Backfills:
    """Where backfills of the same prices run, and what an undisturbed one left and took."""

    folder: Path
    nursery: Nursery
    undisturbed: dict[str, Any]
    seconds: float

    def settings(self, name: str) -> Settings:
        return settings_in(self.folder, name)


def settings_in(folder: Path, name: str) -> Settings:
    return Settings(
        home=make_home(folder / name),
        store_uri=f"file://{folder / name / 'objects'}",
        source="files",
        files_uri=str(folder / "prices.parquet"),
        dataset="same",
        # Several runs a stage, so that kills fall between them too.
        sessions_per_run=60,
        months_per_run=1,
        **QUICK | {"train_months": 3, "min_train_sessions": 30},
    )


@pytest.fixture(scope="module")
def backfills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backfills]:
    folder = tmp_path_factory.mktemp("killed")
    bars = simulated_bars(load_calendar("XNYS"), "2011-07-01", 160, 3, 3, Law(signal=0.4))
    bars.write_parquet(folder / "prices.parquet")
    with nursery(folder) as forks:
        settings = settings_in(folder, "undisturbed")
        seconds = forks.wait(forks.start(settings, FIRST, LAST))
        left = comparable(settings)
        assert [month for _, month, _, _ in left["registry"]] == ["2012-01", "2012-02"]
        assert len([key for key in left if key.startswith("forecast_rmse")]) == 7
        assert_nothing_twice_or_open(settings)
        yield Backfills(folder, forks, left, seconds)


def assert_a_kill_costs_nothing(backfills: Backfills, seed: int) -> None:
    """Kills a backfill at a random moment of an undisturbed one's time and runs it again."""
    moment = random.Random(seed).random() * backfills.seconds
    settings = backfills.settings(f"killed-{seed}")
    pid = backfills.nursery.start(settings, FIRST, LAST)
    time.sleep(moment)
    kill(pid)
    backfills.nursery.wait(pid)
    before = objects(settings)
    backfills.nursery.wait(backfills.nursery.start(settings, FIRST, LAST))
    after = objects(settings)
    # Prices tell the time of their fetch: what was stored was not fetched again.
    kept = {key: value for key, value in before.items() if "/raw_prices/" in key}
    assert {key: after[key] for key in kept} == kept
    left = comparable(settings)
    assert left.keys() == backfills.undisturbed.keys()
    for key, value in backfills.undisturbed.items():
        assert left[key] == value, (key, moment)
    assert_nothing_twice_or_open(settings)
    shutil.rmtree(settings.home)


def objects(settings: Settings) -> dict[str, bytes]:
    folder = settings.home / "objects" / "same"
    return {str(p): p.read_bytes() for p in folder.rglob("*=*/*") if p.is_file()}


@pytest.mark.parametrize("seed", [1])
def test_a_backfill_killed_at_a_random_moment_is_completed_by_the_next(
    backfills: Backfills, seed: int
):
    assert_a_kill_costs_nothing(backfills, seed)


def test_two_backfills_at_once_end_in_the_state_of_one(backfills: Backfills):
    settings = backfills.settings("both")
    both = [backfills.nursery.start(settings, FIRST, LAST) for _ in range(2)]
    for pid in both:
        backfills.nursery.wait(pid)
    left = comparable(settings)
    assert left.keys() == backfills.undisturbed.keys()
    for key, value in backfills.undisturbed.items():
        assert left[key] == value, key
    assert_nothing_twice_or_open(settings)
