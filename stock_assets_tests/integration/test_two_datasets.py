"""Two datasets on one instance: neither shows anything of the other's state."""

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value

from stock_assets.asset_keys import Asset, asset_key, asset_name
from stock_assets.automation.jobs import DAILY_JOB, DATASET_TAG, is_of_dataset
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.errors import MissingPartitionsError
from stock_assets.resources.partition_objects import partition_object
from stock_assets.settings import Settings
from stock_assets_tests.conftest import make_home

PRICES, FEATURES = Asset.RAW_PRICES, Asset.FEATURES
MADE, FAILED, OF_TWO = "2013-02-27", "2013-02-28", "2013-03-01"


@dataclass
class Pair:
    """`one` has made a session and failed at another; `two` has made a third."""

    one: Settings
    two: Settings


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    home = make_home(tmp_path_factory.mktemp("two"))
    one, two = settings_of(home, "one.v-2"), settings_of(home, "two")
    with open_project(one) as project:
        make(project, [PRICES, FEATURES], MADE)
        with pytest.raises(MissingPartitionsError):
            make(project, [FEATURES], FAILED)
    with open_project(two) as project:
        make(project, [PRICES, FEATURES], OF_TWO)
    return Pair(one, two)


def settings_of(home: Path, dataset: str) -> Settings:
    return Settings(home=home, store_uri=f"file://{home / 'objects'}", dataset=dataset)


def make(project: Project, assets: list[str], session: str) -> None:
    every = project.partitions.sessions.get_partition_keys()
    run_partitions(project, DAILY_JOB, assets, [session], every, 1)


def status(project: Project) -> dict[str, tuple[set[str], set[str]]]:
    """By asset, the sessions that the page shows as made and as failed; the rest are missing."""
    found = {}
    graph = project.definitions.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        partitions = graph.get(key).partitions_def
        if partitions is None:
            continue
        cached = get_and_update_asset_status_cache_value(project.instance, key, partitions)
        if cached is None:
            continue
        made = cached.deserialize_materialized_partition_subsets(partitions).get_partition_keys()
        failed = cached.deserialize_failed_partition_subsets(partitions)
        if made or failed.get_partition_keys():
            found[asset_name(key)] = set(made), set(failed.get_partition_keys())
    return found


def test_neither_shows_what_the_other_made_or_failed_at(pair: Pair):
    with open_project(pair.one) as one:
        assert status(one) == {PRICES: ({MADE}, set()), FEATURES: ({MADE}, {FAILED})}
    with open_project(pair.two) as two:
        assert status(two) == {PRICES: ({OF_TWO}, set()), FEATURES: ({OF_TWO}, set())}


def test_neither_shows_a_check_of_the_other(pair: Pair):
    for settings in (pair.one, pair.two):
        with open_project(settings) as project:
            graph = project.definitions.resolve_asset_graph()
            storage = project.instance.event_log_storage
            results = storage.get_latest_asset_check_execution_by_key(list(graph.asset_check_keys))
            runs = [project.instance.get_run_by_id(found.run_id) for found in results.values()]
            assert len(runs) == 13  # of prices and features
            assert {run.tags[DATASET_TAG] for run in runs if run} == {settings.dataset_name}


def test_every_run_is_shown_and_tells_its_dataset(pair: Pair):
    with open_project(pair.two) as project:
        runs = project.instance.get_runs()
        # As a job's page looks for them, and as the timeline places them.
        of_page = {".dagster/repository": "__repository__@stock_assets"}
        listed = project.instance.get_runs(dg.RunsFilter(job_name=DAILY_JOB, tags=of_page))
    assert [run.run_id for run in listed] == [run.run_id for run in runs]
    origins = [run.remote_job_origin for run in runs]
    assert {(o.location_name, o.job_name) for o in origins if o} == {("stock_assets", DAILY_JOB)}
    told = [(run.tags[DATASET_TAG], is_of_dataset(run, "two")) for run in runs]
    assert told == [("two", True), ("one.v-2", False), ("one.v-2", False)]
    # A run that the page started has no tag; its assets tell.
    by_page = dg.DagsterRun("job", asset_selection=frozenset([asset_key("two", PRICES)]))
    assert (is_of_dataset(by_page, "two"), is_of_dataset(by_page, "one.v-2")) == (True, False)
    keys = [asset_key("two", PRICES), asset_key("analytics", "orders")]
    of_more = dg.DagsterRun("job", asset_selection=frozenset(keys))
    assert (is_of_dataset(of_more, "two"), is_of_dataset(of_more, "one.v-2")) == (True, False)


def test_a_history_of_before_keys_had_a_dataset_is_restored(pair: Pair):
    """What an older release told of stays where it was; objects are told of anew, each once."""
    settings = settings_of(pair.two.home, "older")
    with open_project(settings) as project:
        for asset in (PRICES, FEATURES):
            path = partition_object(asset, "session", MADE, "part.parquet")
            project.store.put_many({path: b""})
            project.instance.report_runless_asset_event(
                dg.AssetMaterialization(asset, partition=MADE)
            )
    for _ in range(2):
        with open_project(settings) as project:
            assert status(project) == {PRICES: ({MADE}, set()), FEATURES: ({MADE}, set())}
            key = asset_key("older", FEATURES)
            assert len(project.instance.fetch_materializations(key, limit=9).records) == 1
    with open_project(pair.two) as two:
        assert status(two) == {PRICES: ({OF_TWO}, set()), FEATURES: ({OF_TWO}, set())}
