"""Whatever happens to a dataset in whatever order: what is due gets done, and ends the same.

Sequences of what days, people and machines do to a store. After each the plan is done and empty,
every object equals that of a store made from nothing in one go, and issued forecasts are what they
were, to the byte.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from stock_assets.asset_keys import Asset
from stock_assets.errors import StockAssetsError
from stock_assets.market.months import month_key
from stock_assets.planning.lineage import MONTH_ASSETS, SESSION_ASSETS
from stock_assets_tests.world import (
    FIRST_TARGET,
    NEWEST,
    XNYS,
    Code,
    Source,
    World,
    Worlds,
    bars_of_the_world,
    refuse_other_than_from_nothing,
)

BARS = bars_of_the_world()
SETTINGS = st.sampled_from(
    [
        {"rmse_window": 4},
        {"seed": 7},
        {"gate_margin": 0.02},
        {"train_months": 4},
        {"min_train_sessions": 45},
        {},
    ]
)
INDEXES = st.integers(0, 10_000)


class Sequence(RuleBasedStateMachine):
    """`worlds` is set by the test."""

    worlds: Worlds

    @initialize()
    def begin(self) -> None:
        self.worlds.source, self.worlds.code = Source(BARS), Code()
        self.worlds.newest = NEWEST
        self.world = World(self.worlds)
        self.world.up_to_date(FIRST_TARGET)

    def _session(self, index: int, since: date = FIRST_TARGET) -> date:
        there = XNYS.between(since, self.worlds.newest)
        return there[index % len(there)]

    @rule(days=st.integers(1, 4))
    def sessions_come(self, days: int) -> None:
        for _ in range(days):
            self.worlds.newest = XNYS.next_session(self.worlds.newest)
            self.world.up_to_date()

    @rule(days=st.integers(1, 3))
    def the_source_is_down(self, days: int) -> None:
        self.worlds.source.down = True
        for _ in range(days):
            self.worlds.newest = XNYS.next_session(self.worlds.newest)
            with pytest.raises(StockAssetsError):
                self.world.up_to_date()
        self.worlds.source.down = False

    @rule(days=st.integers(1, 3))
    def the_machine_is_off(self, days: int) -> None:
        self.worlds.newest = XNYS.offset(self.worlds.newest, days)

    @rule(index=INDEXES, ticker=st.sampled_from(["T000", "T001", "T002"]))
    def a_price_is_revised(self, index: int, ticker: str) -> None:
        session = self._session(index, date(2011, 10, 3))
        row = (pl.col("ticker") == ticker) & (pl.col("session") == session)
        self.worlds.source.bars = self.worlds.source.bars.with_columns(
            close=pl.when(row).then((pl.col("low") + pl.col("close")) / 2).otherwise("close")
        )
        self.world.materialise([Asset.RAW_PRICES], [str(session)])

    @rule(tickers=st.sampled_from([("T000", "T001"), ("T000", "T001", "T002"), ("T001", "T002")]))
    def tickers_change(self, tickers: tuple[str, ...]) -> None:
        self.world.tickers = tickers

    @rule(index=INDEXES)
    def an_older_range_is_asked_for(self, index: int) -> None:
        self.world.up_to_date(self._session(index, date(2011, 12, 5)))

    @rule(
        module=st.sampled_from(["features", "splits", "training", "gate", "forecast", "evaluation"])
    )
    def code_changes(self, module: str) -> None:
        self.worlds.code.edit(module)
        if module == "features":
            self.worlds.code.shift += 0.5

    @rule(changed=SETTINGS)
    def settings_change(self, changed: dict[str, float]) -> None:
        self.world.settings = changed

    @rule(puts=st.integers(0, 120))
    def a_command_is_killed(self, puts: int) -> None:
        self.world.killed_after(puts, self.world.up_to_date)

    @rule(puts=st.integers(0, 120))
    def a_fresh_command_is_killed(self, puts: int) -> None:
        self.world.killed_after(puts, lambda: self.world.up_to_date(fresh=True))

    @rule(index=INDEXES)
    def a_month_is_trained_again(self, index: int) -> None:
        through = self._session(index, date(2011, 12, 5))
        with suppress(StockAssetsError):
            self.world.materialise(MONTH_ASSETS, [month_key(through)], through)

    @rule(
        assets=st.sampled_from(
            [SESSION_ASSETS, *[(a,) for a in SESSION_ASSETS], SESSION_ASSETS[1:]]
        ),
        index=INDEXES,
        count=st.integers(1, 6),
    )
    def the_page_makes_sessions(self, assets: tuple[str, ...], index: int, count: int) -> None:
        first = self._session(index)
        keys = list(map(str, XNYS.between(first, self.worlds.newest)[:count]))
        with suppress(StockAssetsError):
            self.world.materialise(assets, keys)

    @rule(
        assets=st.sampled_from([MONTH_ASSETS, *[(a,) for a in MONTH_ASSETS], MONTH_ASSETS[2:]]),
        index=INDEXES,
    )
    def the_page_makes_a_month(self, assets: tuple[str, ...], index: int) -> None:
        session = self._session(index, date(2011, 11, 1))
        with suppress(StockAssetsError):
            self.world.materialise(assets, [month_key(session)])

    @rule(
        asset=st.sampled_from([*SESSION_ASSETS, *MONTH_ASSETS]),
        index=INDEXES,
        left=st.sampled_from([None, b"", b"garbage", 0.5]),
    )
    def an_object_is_lost(self, asset: str, index: int, left: bytes | float | None) -> None:
        folder = self.world.worlds.objects / self.world.name / asset
        files = sorted(file for file in folder.glob("*/*"))
        if asset == Asset.DAILY_FORECAST:
            files = [f for f in files if f.parent.name.partition("=")[2] not in self.world.issued]
        if not files:
            return
        file = files[index % len(files)]
        content = file.read_bytes()
        if left is None:
            file.unlink()
        else:
            file.write_bytes(
                left if isinstance(left, bytes) else content[: int(len(content) * left)]
            )

    @rule(index=INDEXES, left=st.sampled_from([None, b"garbage"]))
    def a_copy_of_stamps_is_lost(self, index: int, left: bytes | None) -> None:
        files = sorted((self.world.worlds.objects / self.world.name / "stamps").glob("*/*.json"))
        if files and left is None:
            files[index % len(files)].unlink()
        elif files:
            files[index % len(files)].write_bytes(left or b"")

    @invariant()
    def issued_forecasts_stay(self) -> None:
        if hasattr(self, "world"):
            self.world.refuse_rewritten()

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.up_to_date()
        plan = self.world.plan()
        assert not plan, plan
        refuse_other_than_from_nothing(self.world)


@contextmanager
def worlds_in(folder: Path) -> Iterator[Worlds]:
    with pytest.MonkeyPatch.context() as patch:
        worlds = Worlds(folder, patch)
        # Entered, or Dagster would look into the instance of a test before.
        with worlds.instance:
            yield worlds


def run_sequences(worlds: Worlds, examples: int, steps: int, *, derandomize: bool) -> None:
    """Some sequences; a failing one is printed, as it was: to shrink it would take minutes."""
    Sequence.worlds = worlds
    run_state_machine_as_test(
        Sequence,
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=derandomize,
            database=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate],
        ),
    )
