"""Backtests with other settings in one home: none sees what another has left, and each is kept."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.commands.doctor import diagnose
from stock_assets.errors import MissingPartitionsError, RegistryError
from stock_assets.market.sessions import load_calendar
from stock_assets.planning.plan import Wanted
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.registered_versions import CHAMPION
from stock_assets_tests.conftest import settings_on_prices
from stock_assets_tests.dagster_runs import unrecorded_project
from stock_assets_tests.simulated_prices import Law, simulated_bars

FIRST, LAST = date(2012, 1, 20), date(2012, 2, 15)
# So that ten test sessions show something to be good enough.
RIDGE: dict[str, Any] = {"model_family": "ridge", "gate_margin": 0.05}
WALK = RIDGE | {"model_family": "random_walk"}
STRICT = RIDGE | {"gate_margin": 0.0}
VERSIONS = ("model_version", "intervals_version")


def write_prices(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    bars = simulated_bars(load_calendar("XNYS"), "2011-07-01", 165, 12, 3, Law(signal=0.4))
    bars.write_parquet(folder / "prices.parquet")
    return folder


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[Project]:
    given = {"store_uri": f"file://{folder / 'objects'}", "dataset": "same"} | options
    with unrecorded_project(settings_on_prices(folder, "home", **given)) as project:
        yield project


def backtest(
    folder: Path, first: date = FIRST, last: date = LAST, **options: Any
) -> dict[str, Any]:
    with opened(folder, **options) as project:
        bring_up_to_date(project, project.range_of(first, last).wanted(), Progress())
        return content(project)


def content(project: Project) -> dict[str, Any]:
    """What a backtest left, versions as month and data instead of their numbers."""
    registry = ModelRegistry(project.settings, project.store)
    with registry.opened() as registered:
        versions = {
            v.version: {
                name: v.tags[name]
                for name in ("month", "fingerprint", "gate", "gate_intervals", "settings")
            }
            for v in registered.own()
        }
    found: dict[str, Any] = {"versions": sorted(versions.values(), key=str)}
    named = {number: f"{v['month']} {v['fingerprint']}" for number, v in versions.items()}
    for asset in ("daily_forecast", "forecast_rmse"):
        for key in project.store.keys(asset):
            rows = pl.read_parquet(io.BytesIO(project.store.get(key)))
            columns = [name for name in VERSIONS if name in rows.columns]
            found[key] = rows.with_columns(
                pl.col(name).replace_strict(named, default=None, return_dtype=pl.String)
                for name in columns
            ).to_dicts()
    return found


def trainings(folder: Path) -> int:
    """How many models were ever trained."""
    with opened(folder) as project:
        tracking = ModelRegistry(project.settings, project.store).tracking
        with tracking.client() as client:
            experiment = client.get_experiment_by_name(tracking.experiment)
            runs = client.search_runs([experiment.experiment_id], max_results=1000)
    return sum("fingerprint" in run.data.tags for run in runs)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ridge leaves in a home of its own."""
    left = backtest(write_prices(tmp_path_factory.mktemp("clean")), **RIDGE)
    forecasts = [rows for key, rows in left.items() if key.startswith("daily_forecast")]
    assert len(left["versions"]) == 2
    assert any(row["model"] == "ridge" for rows in forecasts for row in rows)
    assert any(row["intervals_version"] for rows in forecasts for row in rows)
    return left


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the random walk, ridge, and the random walk again were backtested."""
    return write_prices(tmp_path_factory.mktemp("used"))


def test_what_another_family_left_changes_nothing(clean: dict[str, Any], used: Path):
    walked = backtest(used, **WALK)
    assert backtest(used, **RIDGE) == clean
    before = trainings(used)
    assert backtest(used, **WALK) == walked
    assert backtest(used, **RIDGE) == clean
    assert trainings(used) == before == 4


def test_another_margin_is_another_version_of_the_same_training(
    clean: dict[str, Any], tmp_path: Path
):
    folder = write_prices(tmp_path)
    strict = backtest(folder, **STRICT)
    before = trainings(folder)
    assert backtest(folder, **RIDGE) == clean
    assert trainings(folder) == before == 2
    prints = [[v["fingerprint"] for v in left["versions"]] for left in (strict, clean)]
    assert prints[0] == prints[1]
    with opened(folder, **RIDGE) as project:
        registry = ModelRegistry(project.settings, project.store)
        assert (len(registry.versions()), registry.others()) == (2, 2)
        with registry.tracking.client() as client:
            champion = client.get_model_version_by_alias(registry.name, CHAMPION)
        assert champion.tags["settings_key"] == registry.settings_key
        found = diagnose(project.settings)
    (line,) = [finding.detail for finding in found if finding.part == "registry"]
    assert line.startswith("sqlite: stock_assets_same has 2 versions of these settings, ")
    assert line.endswith("; 2 of other settings")


def test_sessions_that_a_run_did_not_ask_for_are_made_again_by_the_next(
    clean: dict[str, Any], tmp_path: Path
):
    """A month's version is replaced by a run over a part of it: the rest must not be left stale."""
    folder = write_prices(tmp_path)
    backtest(folder, **WALK)
    backtest(folder, last=date(2012, 2, 3), **RIDGE)
    assert backtest(folder, **RIDGE) == clean


def test_before_its_months_are_trained_a_deployment_has_no_version(used: Path):
    backtest(used, **WALK)
    with opened(used, **RIDGE, tuning_trials=1) as project:
        due = project.plan(Wanted({"tuned_model": ["2012-01", "2012-02"]})).due["tuned_model"]
        assert {one.reason.partition("; waits")[0] for one in due.values()} == {
            "made with model_family random_walk, now ridge; made with tuning_trials 2, now 1"
        }
        sessions = project.partitions.sessions.get_partition_keys()
        run_partitions(project, DAILY_JOB, ["daily_forecast"], ["2012-02-15"], sessions, 1)
        path = "daily_forecast/session=2012-02-15/part.parquet"
        rows = pl.read_parquet(io.BytesIO(project.store.get(path)))
        assert rows["model"].unique().to_list() == ["random_walk"]
        assert rows["fallback_reason"].unique().to_list() == [
            "no approved version with these settings was trained before it"
        ]
        assert rows["is_fallback"].all()
        assert rows.select(VERSIONS).null_count().row(0) == (rows.height, rows.height)
        value = json.loads(project.store.get("registered_version/month=2012-02/value.json"))
        assert value["settings"]["model_family"] == "random_walk"
        registry = ModelRegistry(project.settings, project.store)
        assert registry.versions() == []
        with pytest.raises(RegistryError) as refused:
            registry.promote(1, date(2012, 2, 15), "someone")
        assert str(refused.value).startswith(
            "stock_assets_same version 1 was made with other settings (model_family random_walk,"
            " now ridge; tuning_trials 2, now 1); set STOCK_ASSETS_MODEL_FAMILY=random_walk"
            " STOCK_ASSETS_TUNING_TRIALS=2 to serve with it, or promote one of these settings"
        )


def test_a_search_with_other_settings_lends_no_parameters(tmp_path: Path):
    """January lends to February within one deployment; at first only another one has trained it."""
    folder = write_prices(tmp_path)
    backtest(folder, last=date(2012, 1, 27), **RIDGE, train_months=4)
    months = ["2012-02"]
    with opened(folder, **RIDGE) as project:
        sessions = project.partitions.sessions.get_partition_keys()[:-11]
        run_partitions(project, DAILY_JOB, ["raw_prices", "features"], sessions, sessions, 999)
        with pytest.raises(MissingPartitionsError, match=r"2012-01, .*made with other settings"):
            run_partitions(project, MONTHLY_JOB, MONTHLY_ASSETS[:3], months, months, 1)
    backtest(folder, first=date(2012, 2, 7), **RIDGE)
    with opened(folder, **RIDGE) as project:
        january, february = (
            json.loads(project.store.get(f"tuned_model/month={month}/value.json"))
            for month in ("2012-01", "2012-02")
        )
    assert january["settings"]["train_months"] == 3
    assert january["params_from"] == february["params_from"] == "2012-01"
