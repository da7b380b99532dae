"""Training holds no right to write: what others do meanwhile ends in no wrong result."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.assets import earlier_runs
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.local.steps import Step, listened_to
from stock_assets.market.sessions import load_calendar
from stock_assets.partitions import range_tags
from stock_assets.planning.lineage import PARAMS
from stock_assets.planning.plan import Wanted
from stock_assets.planning.value_digest import value_digest
from stock_assets.resources.io_managers import JsonIOManager, ParquetIOManager
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import object_path, stored_partitions
from stock_assets.resources.stamp_index import StampIndex
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_values import read_values
from stock_assets.resources.writer_lease import training_once, writing, writings_over
from stock_assets_tests.conftest import settings_on_prices
from stock_assets_tests.dagster_runs import leave_run
from stock_assets_tests.simulated_prices import Law, simulated_bars

FEBRUARY, MARCH, APRIL, MAY = "2012-02", "2012-03", "2012-04", "2012-05"
"""February lends its parameters to March, April to May."""


@contextmanager
def opened(folder: Path, name: str) -> Iterator[Project]:
    with open_project(
        settings_on_prices(folder, name, dataset="beside", model_family="ridge")
    ) as project:
        yield project


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home that has the sets of all months, and no model."""
    folder = tmp_path_factory.mktemp("beside")
    bars = simulated_bars(load_calendar("XNYS"), "2011-08-15", 186, 3, 5, Law(signal=0.6))
    bars.write_parquet(folder / "prices.parquet")
    with opened(folder, "prepared") as project:
        sessions = project.partitions.sessions.get_partition_keys()
        run_partitions(
            project, DAILY_JOB, ("raw_prices", "features"), sessions, sessions, len(sessions)
        )
        every = project.partitions.months.get_partition_keys()
        sets = (Asset.TRAIN_SET, Asset.TEST_SET)
        run_partitions(project, MONTHLY_JOB, sets, [FEBRUARY, MARCH, APRIL, MAY], every, 12)
    return folder


@pytest.fixture
def project(prepared: Path, request: pytest.FixtureRequest) -> Iterator[Project]:
    name = str(request.node.name)
    shutil.copytree(prepared / "prepared", prepared / name)
    with opened(prepared, name) as project:
        yield project


def trained(project: Project, first: str, last: str = "", *assets: str) -> dg.DagsterRun:
    """A run that Dagster started has trained some months: no command holds the right to write."""
    job = project.definitions.resolve_job_def(project.settings.named(MONTHLY_JOB))
    result = job.execute_in_process(
        instance=project.instance,
        tags=range_tags(first, last or first),
        asset_selection=[asset_key("beside", one) for one in assets or (Asset.TUNED_MODEL,)],
    )
    assert result.success
    return result.dagster_run


def due(project: Project, *months: str) -> dict[str, str]:
    """Why models are due."""
    plan = project.plan(Wanted({Asset.TUNED_MODEL: months}))
    return {month: one.reason for month, one in plan.due[Asset.TUNED_MODEL].items()}


def rewrite_train_set(store: ObjectStore, month: str) -> None:
    """As another run would of revised prices."""
    objects = stored_partitions(store, Asset.TRAIN_SET)
    rows = read_objects(store, [objects[month].path]).with_columns(pl.col("label") * 2)
    stamp = StampIndex(store).look_up(Asset.TRAIN_SET, objects).stamps[month]
    stamp = replace(stamp, value=value_digest(Asset.TRAIN_SET, rows))
    encoded = ParquetIOManager(store).encode
    store.put_encoded({objects[month].path: (rows, stamp)}, lambda pair: encoded(*pair))


def when_read(change: Callable[[], None]) -> AbstractContextManager[None]:
    """Does it as soon as a month's rows are read, and its search begins."""

    def hear(step: Step) -> None:
        if step.asset == Asset.TUNED_MODEL and step.share == 0:
            change()

    return listened_to(hear)


@contextmanager
def before_reading(change: Callable[[], None]) -> Iterator[None]:
    """Does it after the run has looked up what is stored, and before it reads a month's rows."""

    @contextmanager
    def once(store: ObjectStore, month: str, on_wait: Any) -> Iterator[None]:
        change()
        with training_once(store, month, on_wait):
            yield

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stock_assets.assets.models.training_once", once)
        yield


@pytest.mark.parametrize("moment", [before_reading, when_read])
def test_a_study_whose_train_set_was_rewritten_while_it_trained_is_due_again(
    project: Project, moment: Callable[..., AbstractContextManager[None]]
):
    store = project.store

    def change() -> None:
        before = writings_over(store)
        # At once: the run does not hold it. A process that did would not be counted again.
        with writing(store, "another") as lease:
            assert lease.number == before + 1
            rewrite_train_set(store, FEBRUARY)
        assert writings_over(store) == before + 1

    with moment(change):
        trained(project, FEBRUARY)
    assert due(project, FEBRUARY) == {FEBRUARY: "the train set went into it that are others now"}
    trained(project, FEBRUARY)
    assert due(project, FEBRUARY) == {}


def test_a_lender_that_is_trained_again_meanwhile_makes_its_months_due_again(project: Project):
    trained(project, FEBRUARY)
    store = project.store

    def change() -> None:
        """February finds other parameters after March has read the first ones."""
        found = stored_partitions(store, Asset.TUNED_MODEL)
        stamp = StampIndex(store).look_up(Asset.TUNED_MODEL, found).stamps[FEBRUARY]
        value = read_values(store, [found[FEBRUARY].path], dict)[0]
        stamp = replace(stamp, marks={**stamp.marks, PARAMS: "others"})
        encoded = JsonIOManager(store).encode
        store.put_encoded({found[FEBRUARY].path: (value, stamp)}, lambda pair: encoded(*pair))

    with when_read(change):
        trained(project, MARCH)
    assert due(project, MARCH) == {MARCH: "the search of 2012-02 found other parameters"}


def test_a_month_waits_for_its_lender_of_an_earlier_run_across_retries(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    """One attempt is given back to Dagster; in the next one, the other run makes the lender."""
    keys = range_tags(MARCH, APRIL)
    leave_run(project.instance, project.settings, MONTHLY_JOB, "STARTED", **keys)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        trained(project, APRIL)

    clock = chain([0.0, 100.0], repeat(0.0))
    monkeypatch.setattr(
        earlier_runs, "time", SimpleNamespace(monotonic=lambda: next(clock), sleep=sleep)
    )
    run = trained(project, MAY)
    assert len(slept) == 1
    events = [one.dagster_event for one in project.instance.all_logs(run.run_id)]
    assert len([event for event in events if event and event.is_step_up_for_retry]) == 1
    study = read_values(project.store, [object_path(Asset.TUNED_MODEL, MAY)], dict)[0]
    assert study["params_from"] == APRIL
    assert due(project, APRIL, MAY) == {}


def test_versions_are_registered_after_those_of_earlier_runs(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    trained(project, FEBRUARY, MAY)
    keys = range_tags(FEBRUARY, MARCH)
    leave_run(project.instance, project.settings, MONTHLY_JOB, "STARTED", **keys)

    def sleep(_seconds: float) -> None:
        trained(project, FEBRUARY, MARCH, Asset.REGISTERED_VERSION)

    monkeypatch.setattr(earlier_runs, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=sleep))
    trained(project, APRIL, MAY, Asset.REGISTERED_VERSION)
    paths = [object_path(Asset.REGISTERED_VERSION, m) for m in (FEBRUARY, MARCH, APRIL, MAY)]
    versions = [value["version"] for value in read_values(project.store, paths, dict)]
    assert versions == [1, 2, 3, 4]
    assert not project.plan(Wanted(dict.fromkeys(MONTHLY_ASSETS, (FEBRUARY, MARCH, APRIL, MAY))))
