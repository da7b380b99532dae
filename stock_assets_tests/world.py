"""A small world whose clock, source, code and settings a test turns, and a store that follows it.

Everything runs in this process: Dagster's instance keeps no events, MLflow's database is one for
all worlds of a test, and each world has a dataset of its own.
"""

import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_assets.asset_keys import Asset
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_JOB
from stock_assets.backfill.execution import bring_up_to_date, with_objects_mended
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.definitions import build_definitions
from stock_assets.deployment import load_partitions
from stock_assets.errors import SourceUnreachableError, StockAssetsError
from stock_assets.forecasting import features as features_code
from stock_assets.forecasting.fingerprint import source_hash
from stock_assets.forecasting.record import is_issued
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.market.bars import by_ticker
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.planning.extent import extent
from stock_assets.planning.lineage import IN_ORDER, MONTH_ASSETS
from stock_assets.planning.plan import Plan, Wanted
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.partition_objects import object_path
from stock_assets.resources.prices import open_prices
from stock_assets.resources.stored_state import listed_objects, stored_state
from stock_assets.settings import Settings
from stock_assets_tests.conftest import make_home
from stock_assets_tests.dagster_runs import drop_history_and_pictures
from stock_assets_tests.simulated_prices import Law, simulated_bars

XNYS = load_calendar("XNYS")
FIRST = "2011-07-01"
"""Features are complete from 2011-09-29 on, and the first month that can be trained is 2011-12."""
SESSIONS = 230
NEWEST = date(2012, 2, 24)
FIRST_TARGET = date(2012, 1, 17)
TINY = {
    "source": "files",
    "files_uri": "world",
    "first_session": date.fromisoformat(FIRST),
    "train_months": 3,
    "min_train_sessions": 30,
    "test_sessions": 10,
    "tuning_trials": 3,
    "tuning_folds": 2,
    "model_family": "ridge",
    "retune_months": 2,
    "rmse_window": 5,
    # Nearly all are approved, so that versions serve, judge and are replaced.
    "gate_margin": 10.0,
    "read_cache_gb": 0,
}


class Killed(Exception):  # noqa: N818  # it stands for a kill, which is no error
    """In place of a kill: from some PUT on, nothing of a command reaches the store."""


@dataclass
class Source:
    """A source that goes on.

    `bars`: all that will ever be; `down`: whether it does not answer.
    """

    bars: pl.DataFrame
    down: bool = False
    name: str = "world"

    def default_tickers(self) -> tuple[str, ...]:
        return tuple(self.bars["ticker"].unique().sort())

    def first_session(self) -> date:
        return date.fromisoformat(FIRST)

    def last_session(self) -> date | None:
        return None

    def fetch_bars(self, tickers: Sequence[str], first: date, last: date) -> pl.DataFrame:
        if self.down:
            raise SourceUnreachableError("the world's source is down")
        wanted = pl.col("ticker").is_in(tickers) & pl.col("session").is_between(first, last)
        return by_ticker(self.bars.filter(wanted))


@dataclass
class Code:
    """What the code of assets is, beside what it really is.

    `edits`: of modules by name, each edit another hash. `shift`: what a changed feature is off by.
    """

    edits: dict[str, int] = field(default_factory=dict)
    shift: float = 0.0

    def edit(self, module: str) -> None:
        self.edits[module] = self.edits.get(module, 0) + 1

    def hash(self, module: str) -> str:
        return f"{source_hash(module)}{self.edits.get(module.rpartition('.')[2], '')}"

    def build_features(self, *arguments: Any) -> pl.DataFrame:
        made = features_code.build_features(*arguments)
        return made.with_columns(pl.col("momentum_5") + self.shift)


class Worlds:
    """The folder and the patches that worlds share."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.home = make_home(folder / "home")
        self.objects = folder / "objects"
        self.instance = dg.DagsterInstance.ephemeral()
        self.source = Source(pl.DataFrame())
        self.code = Code()
        self.opened = 0
        self.newest = NEWEST
        self.puts_left: int | None = None
        self._patch(patch)

    def _patch(self, patch: pytest.MonkeyPatch) -> None:
        # They decide nothing here, and took half of the time.
        drop_history_and_pictures(patch)
        patch.setattr("stock_assets.deployment.price_source", lambda _: self.source)
        patch.setattr("stock_assets.resources.prices.price_source", lambda _: self.source)
        patch.setattr("stock_assets.planning.lineage.source_hash", self.code.hash)
        patch.setattr(
            "stock_assets.assets.features.build_features",
            self.code.build_features,
        )
        # So few rows would have the usual parameters tried alone.
        patch.setattr(
            "stock_assets.forecasting.month_training.TuningBudget",
            partial(TuningBudget, rows_per_trial=10),
        )
        patch.setattr(ExchangeCalendar, "opens_at", self._opens_at)
        put = ObjectStore._put

        def counted(store: ObjectStore, key: str, content: bytes) -> Any:
            if self.puts_left is not None:
                self.puts_left -= 1
                if self.puts_left < 0:
                    raise Killed(f"before {key}")
            return put(store, key, content)

        patch.setattr(ObjectStore, "_put", counted)

    def _opens_at(self, session: date) -> datetime:
        """The morning after the newest session, before the next one opens."""
        return datetime(9999 if session > self.newest else 1, 1, 1, tzinfo=UTC)

    def dataset(self) -> str:
        self.opened += 1
        return f"world{self.opened}"


class World:
    """One dataset of `worlds`."""

    def __init__(self, worlds: Worlds, name: str = "") -> None:
        self.worlds = worlds
        self.name = name or worlds.dataset()
        self.settings: dict[str, Any] = {}
        self.tickers: tuple[str, ...] = ("T000", "T001")
        self.issued: dict[str, bytes] = {}

    @contextmanager
    def project(self) -> Iterator[Project]:
        settings = Settings(
            home=self.worlds.home,
            store_uri=f"file://{self.worlds.objects}",
            dataset=self.name,
            tickers=",".join(self.tickers),
            last_session=self.worlds.newest,
            **TINY | self.settings,
        )
        with open_store(settings) as store, open_prices(settings) as prices:
            yield Project(
                settings,
                load_partitions(settings),
                build_definitions(settings),
                self.worlds.instance,
                store,
                prices,
                "world",
            )

    def up_to_date(self, since: date | None = None, *, fresh: bool = False) -> None:
        """As a command does over a range, or over all that there ought to be."""
        with self.project() as project:

            def work() -> None:
                bring_up_to_date(project, wanted_of(project, since), Progress(), fresh=fresh)

            with_objects_mended(project, work)
            self.issued |= issued_of(project.store)

    def plan(self) -> Plan:
        with self.project() as project:
            return project.plan(wanted_of(project))

    def materialise(
        self, assets: Sequence[str], keys: Sequence[str], through: date | None = None
    ) -> None:
        """As the page does: whatever is due or not."""
        with self.project() as project:
            monthly = assets[0] in MONTH_ASSETS
            months = project.partitions.months.get_partition_keys()
            every = months if monthly else project.lineage.sessions
            config = {
                asset: {"train_through": str(through)}
                for asset in (Asset.TRAIN_SET, Asset.TEST_SET)
                if through and asset in assets
            }
            job = MONTHLY_JOB if monthly else DAILY_JOB
            try:
                run_partitions(project, job, assets, keys, every, 1000, config)
            finally:
                self.issued |= issued_of(project.store)

    def killed_after(self, puts: int, work: Callable[[], None]) -> None:
        """Work of which nothing is stored after some PUTs."""
        self.worlds.puts_left = puts
        try:
            with suppress(Killed, StockAssetsError):
                work()
        finally:
            self.worlds.puts_left = None
            with self.project() as project:
                self.issued |= issued_of(project.store)

    def made_at(self) -> dict[tuple[str, str], str]:
        """When each object was made, by asset and key."""
        with self.project() as project:
            state = stored_state(project.store, Wanted({}), is_live=True)
        return {
            (a, key): stamp.made_at for a, of in state.stamps.items() for key, stamp in of.items()
        }

    def path(self, asset: str, key: str) -> Path:
        return self.worlds.objects / self.name / object_path(asset, key)

    def refuse_rewritten(self) -> None:
        """Every object that was ever issued is there to the byte."""
        for key, content in self.issued.items():
            assert self.path(Asset.DAILY_FORECAST, key).read_bytes() == content, key


def wanted_of(project: Project, since: date | None = None) -> Wanted:
    """All that there ought to be, or the range since a session."""
    if since:
        return project.range_of(since, project.partitions.newest).wanted()
    found = extent(
        project.settings, project.partitions, project.lineage, listed_objects(project.store)
    )
    assert found
    return found.wanted()


def issued_of(store: ObjectStore) -> dict[str, bytes]:
    """Every readable object of issued forecasts by session."""
    paths = store.keys(Asset.DAILY_FORECAST)
    found = {}
    for path in paths:
        content = store.find_with_tag(path)
        assert content
        with suppress(pl.exceptions.PolarsError):
            if is_issued(pl.read_parquet(io.BytesIO(content[0]))):
                found[path.split("/")[1].partition("=")[2]] = content[0]
    return found


def from_nothing(world: World) -> World:
    """The same made in one go: from the bars that the store holds, and what people asked for.

    Issued forecasts are taken over, as nobody can make them again.
    """
    made = World(world.worlds)
    made.settings, made.tickers = world.settings, world.tickers
    with world.project() as of, made.project() as to:
        wanted = wanted_of(of)
        prices = [object_path(Asset.RAW_PRICES, key) for key in wanted.of(Asset.RAW_PRICES)]
        issued = [object_path(Asset.DAILY_FORECAST, key) for key in issued_of(of.store)]
        beside = [
            key for name in ("stamps/asked", "record", "requests") for key in of.store.keys(name)
        ]
        for path in [*prices, *issued, *beside]:
            to.store.put_many({path: of.store.get(path)})
        bring_up_to_date(to, wanted, Progress())
    return made


def held(
    world: World, keys: Wanted, issued: Mapping[str, bytes], numbers: Mapping[int, str]
) -> Any:
    """What a store holds of some keys, without what differs between two like ones.

    That is times, and where MLflow keeps something; a version is its training.

    Args:
        world: Whose.
        keys: Of which assets.
        issued: Sessions whose forecasts are compared by their bytes elsewhere.
        numbers: By which issued forecasts name versions.
    """
    with world.project() as project:
        own = versions_by_number(project)
        found = {}
        for asset in IN_ORDER:
            for key in keys.of(asset):
                if asset == Asset.RAW_PRICES or (asset == Asset.DAILY_FORECAST and key in issued):
                    continue
                content = project.store.get(object_path(asset, key))
                if asset in (Asset.TUNED_MODEL, Asset.REGISTERED_VERSION):
                    found[asset, key] = _plain(json.loads(content), own)
                    continue
                rows = pl.read_parquet(io.BytesIO(content))
                found[asset, key] = _named(rows, own, numbers, issued).write_ndjson()
    return found


def versions_by_number(project: Project) -> dict[int, str]:
    """The training that each version was made of."""
    registry = ModelRegistry(project.settings, project.store)
    with registry.opened() as registered:
        return {v.version: v.tags["fingerprint"] for v in registered.every()}


def _plain(value: Any, numbers: Mapping[int, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"version (\d+)", lambda match: numbers[int(match[1])], value)
    if isinstance(value, list):
        return [_plain(one, numbers) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: _plain(one, numbers)
        for name, one in value.items()
        if not name.startswith("mlflow_") and name not in {"stamp", "name", "version"}
    }


def _named(
    rows: pl.DataFrame,
    own: Mapping[int, str],
    of_issued: Mapping[int, str],
    issued: Mapping[str, bytes],
) -> pl.DataFrame:
    names = [name for name in ("model_version", "intervals_version") if name in rows.columns]
    if not names:
        return rows
    is_issued_row = pl.col("as_of_session").cast(pl.String).is_in(list(issued))
    return rows.with_columns(
        pl.when(is_issued_row)
        .then(pl.col(name).replace_strict(of_issued, default=None, return_dtype=pl.String))
        .otherwise(pl.col(name).replace_strict(own, default=None, return_dtype=pl.String))
        .alias(name)
        for name in names
    )


def refuse_other_than_from_nothing(world: World) -> None:
    """Every object equals that of a store made from nothing in one go."""
    world.refuse_rewritten()
    made = from_nothing(world)
    with world.project() as project:
        keys, numbers = wanted_of(project), versions_by_number(project)
    here, there = (held(one, keys, world.issued, numbers) for one in (world, made))
    other = [key for key in here if here[key] != there[key]]
    assert not other, [(key, here[key], there[key]) for key in other[:2]] + other
    made.refuse_rewritten()


def bars_of_the_world() -> pl.DataFrame:
    return simulated_bars(XNYS, FIRST, SESSIONS, 3, 5, Law(signal=0.6))
