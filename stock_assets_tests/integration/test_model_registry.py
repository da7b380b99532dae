"""The registry on MLflow's real database: races, people's decisions, hostile files."""

import json
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner

from stock_assets import read
from stock_assets.asset_keys import Asset
from stock_assets.automation.jobs import MONTHLY_JOB
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.cli import main
from stock_assets.errors import FeatureMismatchError, RegistryError
from stock_assets.forecasting.gate import GateDecision
from stock_assets.forecasting.study import Study
from stock_assets.resources.mlflow_database import registered_rows
from stock_assets.resources.mlflow_tracking import MONTHS_FILTER, runs_by_skill
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.registered_versions import CHALLENGER, CHAMPION, CHAMPION_INTERVALS
from stock_assets.resources.study_files import DIGESTS_TAG
from stock_assets.resources.version_tags import GATE_TAGS, as_version
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.dagster_runs import unrecorded_project
from stock_assets_tests.stored_rows import rows_at

FIRST, LAST = date(2013, 1, 29), date(2013, 2, 5)
REJECTED = dict.fromkeys(GATE_TAGS.values(), "rejected")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Versions of January and February 2013, and forecasts around the turn of the month."""
    folder = tmp_path_factory.mktemp("registry")
    settings = Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        first_session=date(2012, 3, 1),
        **QUICK,
    )
    with unrecorded_project(settings) as opened:
        bring_up_to_date(opened, opened.range_of(FIRST, LAST).wanted(), Progress())
        yield opened


@pytest.fixture
def registry(project: Project) -> ModelRegistry:
    return ModelRegistry(project.settings, project.store)


PARENT_TAG = "mlflow.parentRunId"


def study(project: Project, month: str) -> Study:
    return Study.of(json.loads(project.store.get(f"tuned_model/month={month}/value.json")))


def of_another_month(project: Project, fingerprint: str, through: date) -> Study:
    found = study(project, "2013-02")
    month = f"{through:%Y-%m}"
    return replace(found, month=month, fingerprint=fingerprint, trained_through=through)


def forecast_again(project: Project, session: str) -> dict[str, Any]:
    sessions = project.partitions.sessions.get_partition_keys()
    run_partitions(project, "daily_job", ["daily_forecast"], [session], sessions, 1)
    stored = stored_partitions(project.store, "daily_forecast")
    return read_rows(project.store, [stored[session]]).row(0, named=True)


def served(project: Project, session: str) -> tuple[int | None, int | None]:
    """Whose point and whose intervals a session made anew has."""
    row = forecast_again(project, session)
    return row["model_version"], row["intervals_version"]


def test_a_reader_gets_a_version_that_forecasts_what_was_stored(project: Project):
    with read.open_dataset(project.settings) as dataset:
        versions, found = dataset.versions(), dataset.version(2)
        rows = dataset.features(FIRST, LAST)
        seen = dataset.forecasts().filter(pl.col("model_version") == 2)
    assert versions["version"].to_list() == [1, 2]
    assert (found.month, found.trained_through) == ("2013-02", date(2013, 1, 31))
    assert versions["reason"].to_list()[1] == found.reason
    assert versions["approved"].to_list()[1] == found.approved
    expected = found.predict(rows)
    assert (expected.len(), expected.null_count()) == (rows.height, 0)
    made = seen.join(
        rows.select("ticker", expected, as_of_session="session"), on=["ticker", "as_of_session"]
    )
    assert made["forecast_return"].to_list() == made["forecast_return_right"].to_list()
    young = rows.with_columns(momentum_5=pl.when(pl.col("ticker") != "FB").then("momentum_5"))
    without = young.with_columns(found.predict(young)).filter(pl.col("ticker") == "FB")
    assert without["forecast_return"].null_count() == without.height > 0
    with pytest.raises(FeatureMismatchError, match="lack the features momentum_5"):
        found.predict(rows.drop("momentum_5"))


def test_the_second_month_was_held_against_the_first(project: Project, registry: ModelRegistry):
    with registry.tracking.client() as client:
        version = client.get_model_version(registry.name, "2")
        numbers = json.loads(version.tags["gate_numbers"])
    assert [n["reference"] for n in numbers] == ["random_walk", "champion, version 1"]
    assert numbers[1]["sessions"] == 10  # all test sessions come after what January has seen
    of_intervals = json.loads(version.tags["gate_intervals_numbers"])
    assert [(n["reference"], n["loss"]) for n in of_intervals] == [
        (reference, loss)
        for loss in ("CRPS", "95 % interval score")
        for reference in ("normal_law", "champion, version 1")
    ]
    assert "- point: approved: " in version.description
    assert "- intervals: approved: CRPS " in version.description
    february = study(project, "2013-02")
    # January and February lie in one block of three months: one search serves both.
    assert february.params_from == "2013-01"
    assert february.params == study(project, "2013-01").params


def test_this_machines_database_is_read_as_mlflow_reads_it(
    project: Project, registry: ModelRegistry
):
    with registry.opened() as registered:
        twin = registered.create(study(project, "2013-02"), registry.settings, REJECTED, "")
        registered.delete([twin])
        every = registered.client.search_model_versions(f"name = '{registry.name}'")
        rows = registered.every()
    assert rows == registered_rows(project.settings, registry.name)
    assert {row.version: (row.run_id, row.tags) for row in rows} == {
        int(one.version): (one.run_id, dict(one.tags)) for one in every
    }
    assert registry.versions() == sorted(as_version(row) for row in rows)
    assert twin.version not in registry.runs_by_number()


def test_two_registrations_at_once_leave_one_version(project: Project, registry: ModelRegistry):
    old = date(2012, 1, 31)
    new = of_another_month(project, "raced", old)
    before = {v.version for v in registry.versions()}
    decisions = [GateDecision(False, "rejected: on purpose")] * 2
    others = [ModelRegistry(project.settings, project.store) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(lambda r: r.register(new, *decisions), others))
    assert len(set(numbers)) == 1
    assert {v.version for v in registry.versions()} - before == set(numbers)


def test_versions_made_at_once_by_two_machines_become_one(
    project: Project, registry: ModelRegistry
):
    """Without the lock both may have created theirs: the next look keeps the lower number."""
    old = date(2012, 1, 31)
    new = of_another_month(project, "twins", old)
    before = {v.version for v in registry.versions()}
    with registry.opened() as registered:
        registered.create(new, registry.settings, REJECTED, "")
        registered.create(new, registry.settings, REJECTED, "")
    twins = {v.version for v in registry.versions()} - before
    assert len(twins) == 2
    kept = registry.register(new, *[GateDecision(False, "rejected: on purpose")] * 2)
    assert kept == min(twins)
    assert {v.version for v in registry.versions()} - before == {kept}


def test_a_month_has_one_version_that_serves_and_those_of_its_retrains(
    project: Project, registry: ModelRegistry
):
    through = date(2012, 2, 29)
    approved = [GateDecision(True, "approved")] * 2

    def serving() -> dict[str, tuple[bool, bool]]:
        return {
            one.fingerprint: (one.approved, one.intervals_approved)
            for one in registry.versions()
            if one.fingerprint.startswith("of ")
        }

    old, new = (of_another_month(project, f"of {name} prices", through) for name in ("old", "new"))
    first = registry.register(old, *approved)
    second = registry.register(new, GateDecision(False, "rejected"), GateDecision(True, "fine"))
    assert serving() == {"of old prices": (False, False), "of new prices": (False, True)}
    # The revision is taken back: the version of before serves again, under its number.
    assert registry.register(old, *approved) == first
    assert serving() == {"of old prices": (True, True), "of new prices": (False, False)}
    again = replace(old, fingerprint="of a retrain", trained_through=date(2012, 3, 9))
    registry.register(again, *approved, beside=[first])
    assert serving() == {
        "of old prices": (True, True),
        "of new prices": (False, False),
        "of a retrain": (True, True),
    }
    registry.supersede(old.month)  # it can't be trained any more
    assert set(serving().values()) == {(False, False)}
    with registry.opened() as registered:
        for one in registered.every():
            if one.version >= min(first, second):
                registered.delete([one])


def test_a_promotion_changes_who_serves_from_now_on_and_nothing_before(
    project: Project, registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
):
    given = QUICK | {
        "store_uri": project.settings.store_uri,
        "first_session": "2012-03-01",
        "last_session": "2013-02-04",
        "home": project.settings.home,
    }
    for name, value in given.items():
        monkeypatch.setenv(f"STOCK_ASSETS_{name.upper()}", str(value))
    rejected = GateDecision(False, "rejected")
    registry.register(study(project, "2013-02"), GateDecision(True, "approved"), rejected)
    told = CliRunner().invoke(main, ["promote", "1"])
    assert told.exit_code == 0, told.output
    assert told.output.startswith("version 1 (trained through 2012-12-31) is champion for sessions")
    # February's intervals were not approved.
    assert served(project, "2013-02-04") == (2, 1)
    assert served(project, "2013-02-05") == (1, 1)
    with registry.tracking.client() as client:
        champion = client.get_model_version_by_alias(registry.name, CHAMPION)
        challenger = client.get_model_version_by_alias(registry.name, CHALLENGER)
        assert (int(champion.version), int(challenger.version)) == (1, 2)
        of_intervals = client.get_model_version_by_alias(registry.name, CHAMPION_INTERVALS)
        assert int(of_intervals.version) == 1
        trail = client.get_model_version(registry.name, "1").tags["audit_001"]
    assert "promoted by" in trail
    assert trail.endswith(
        "after 2013-02-04 for point and intervals; champion was 2, of intervals 1; gate said"
        " approved, of intervals approved"
    )
    would = CliRunner().invoke(main, ["rollback", "--dry-run"])
    assert would.output == (
        "point forecasts: was version 1 (trained through 2012-12-31), would be version 2 (trained"
        " through 2013-01-31)\n"
        "intervals: version 1 (trained through 2012-12-31), as before\n"
        "would hold for sessions after 2013-02-04, until a newer version is approved; older"
        " forecasts stay; nothing was changed\n"
    )
    assert served(project, "2013-02-05") == (1, 1)
    back = CliRunner().invoke(main, ["rollback"])
    assert back.output == (
        "point forecasts: was version 1 (trained through 2012-12-31), is version 2 (trained"
        " through 2013-01-31)\n"
        "intervals: version 1 (trained through 2012-12-31), as before\n"
        "holds for sessions after 2013-02-04, until a newer version is approved; older"
        " forecasts stay\n"
    )
    assert served(project, "2013-02-05") == (2, 1)  # what a person never asked for does not serve
    again = CliRunner().invoke(main, ["rollback"])
    # The one before is version 1 again.
    assert again.output.startswith(
        "point forecasts: was version 2 (trained through 2013-01-31), is"
    )
    assert served(project, "2013-02-05") == (1, 1)
    unknown = CliRunner().invoke(main, ["promote", "99"])
    assert unknown.exit_code == 1
    assert "has no version 99; there are 1, 2" in unknown.output


class Hostile:
    """Whoever unpickles it writes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("file", ["model.skops", "model.pkl"])
def test_a_hostile_pickle_in_the_registry_is_never_run(
    project: Project, registry: ModelRegistry, tmp_path: Path, file: str
):
    """In the model's place it is refused; beside it, with an MLmodel that points to it, unread."""
    mark = tmp_path / "run"
    with registry.tracking.client() as client:
        found = client.get_model_version(registry.name, "2")
        source, digests = found.source, client.get_run(found.run_id).data.tags[DIGESTS_TAG]
        # As if the digests were hostile too: the list of trusted types is what refuses.
        client.set_tag(found.run_id, DIGESTS_TAG, "{}")
        import mlflow

        (model,) = Path(project.settings.store_uri.removeprefix("file://")).rglob(
            f"{source.rsplit('/', 1)[-1]}/artifacts/model.skops"
        )
    assert mlflow
    stored = model.read_bytes()
    mlmodel = (model.parent / "MLmodel").read_text()
    (model.parent / file).write_bytes(pickle.dumps(Hostile(mark)))
    (model.parent / "MLmodel").write_text(
        mlmodel.replace("model.skops", "model.pkl").replace("skops", "cloudpickle")
    )
    # The file of a random walk is not read at all.
    version = replace(next(v for v in registry.versions() if v.version == 2), family="ridge")
    try:
        if file == "model.skops":
            with pytest.raises(RegistryError, match="version 2 can't be read"):
                registry.load(version)
        else:
            assert registry.load(version).version == version
    finally:
        model.write_bytes(stored)
        (model.parent / "MLmodel").write_text(mlmodel)
        with registry.tracking.client() as client:
            client.set_tag(found.run_id, DIGESTS_TAG, digests)
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark)))  # noqa: S301  # our own
    assert mark.exists()  # it would have been run: the test can fail


def test_a_hostile_pickle_in_the_store_is_never_run(project: Project, tmp_path: Path):
    mark = tmp_path / "run"
    path = "features/session=2013-02-05/part.parquet"
    stored = project.store.get(path)
    project.store.put_many({path: pickle.dumps(Hostile(mark))})
    try:
        with pytest.raises(Exception, match=r"(?i)parquet"):
            forecast_again(project, "2013-02-05")
    finally:
        project.store.put_many({path: stored})
    assert not mark.exists()
    assert rows_at(project.store, [path]).height


def test_every_run_in_mlflow_has_a_name_and_says_what_it_is(
    project: Project, registry: ModelRegistry
):
    months = project.partitions.months.get_partition_keys()
    run_partitions(project, MONTHLY_JOB, [Asset.TUNED_MODEL], ["2013-02"], months, 1)  # found again
    with registry.tracking.client() as client:
        experiment = client.get_experiment_by_name(registry.tracking.experiment)
        runs = client.search_runs([experiment.experiment_id])
        children = client.search_runs([experiment.experiment_id], filter_string=MONTHS_FILTER)
    parents = [run for run in runs if PARENT_TAG not in run.data.tags]
    assert {run.info.run_name.split()[0] for run in parents} == {"sample"}
    assert all(
        run.data.tags["mlflow.note.content"].startswith("Training of 201") for run in parents
    )
    assert all("forecasts, slope" in run.data.tags["mlflow.note.content"] for run in children)
    # None stands for months that were all found as trained before.
    above = {run.data.tags[PARENT_TAG] for run in children}
    assert {run.info.run_id for run in parents} == above
    assert {run.info.run_id for run in runs} == above | {run.info.run_id for run in children}
    assert runs_by_skill(registry.tracking) == (
        f"/experiments/{experiment.experiment_id}/runs?searchFilter=tags.month%20%21%3D%20%27%27"
        "&orderByKey=metrics.%60test_skill%60&orderByAsc=false"
    )
