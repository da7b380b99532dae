"""Backfills over months of which some can't be trained, and what a stopped command leaves due."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from stock_assets.asset_keys import Asset, asset_key
from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.project import Project, open_project, run_partitions
from stock_assets.errors import MissingPartitionsError
from stock_assets.market.sessions import load_calendar
from stock_assets.planning.plan import Due, Wanted
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.stored_values import as_json
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.filled import fill
from stock_assets_tests.simulated_prices import simulated_bars

SESSIONS = 150
MONTHS = ["2011-07", "2011-08", "2011-09", "2011-10", "2011-11", "2011-12", "2012-01", "2012-02"]


@contextmanager
def opened(folder: Path, **options: Any) -> Iterator[Project]:
    settings = Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        source="files",
        files_uri=str(folder / "prices.parquet"),
        **QUICK | {"model_family": "ridge", "train_months": 3, "min_train_sessions": 30},
        **options,
    )
    with open_project(settings) as project, dg.DagsterInstance.ephemeral() as instance:
        yield replace(project, instance=instance)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    bars = simulated_bars(load_calendar("XNYS"), "2011-07-01", SESSIONS, 3, seed=3)
    bars.write_parquet(tmp_path / "prices.parquet")
    return tmp_path


def materialise(project: Project, job: str, assets: tuple[str, ...], keys: list[str]) -> None:
    run_partitions(project, job, assets, keys, keys, 1000)


def test_months_without_history_say_so_and_the_others_go_on(folder: Path):
    with opened(folder) as project:
        left_by_a_kill = project.settings.state_folder / "mlflow" / "mlflow.new"
        left_by_a_kill.parent.mkdir(parents=True)
        left_by_a_kill.write_text("half of MLflow's schema")
        sessions = project.partitions.sessions.get_partition_keys()
        materialise(project, DAILY_JOB, ("raw_prices", "features"), sessions)
        materialise(project, MONTHLY_JOB, MONTHLY_ASSETS, MONTHS)
        studies, versions = (
            {m: json.loads(project.store.get(one.path)) for m, one in stored.items()}
            for stored in (stored_partitions(project.store, a) for a in MONTHLY_ASSETS[2:])
        )
        skipped = [m for m, study in studies.items() if study["status"] == "not_enough_history"]
        # No feature is complete before 2011-10-14; 40 sessions later it is 2011-12-09.
        assert skipped == MONTHS[:6]
        assert [m for m in versions if versions[m]["version"] is None] == skipped
        assert versions["2011-11"]["reason"].startswith("no model: 0 labelled rows to train on")
        assert [versions[m]["version"] for m in MONTHS[6:]] == [1, 2]
        train_sets = stored_partitions(project.store, "train_set")
        rows = read_rows(project.store, [train_sets["2011-11"]])
        trained = read_rows(project.store, [train_sets["2012-01"]])
        assert rows.is_empty()
        assert rows.schema == trained.schema
        event = project.instance.get_latest_materialization_event(
            asset_key(project.settings.dataset_name, "tuned_model")
        )
        assert event.asset_materialization.metadata["skipped_months"].value == 6
        around = [session for session in sessions if "2011-12-27" <= session <= "2012-01-05"]
        run_partitions(project, DAILY_JOB, ("daily_forecast",), around, sessions, 1000)
        forecasts = read_rows(
            project.store, list(stored_partitions(project.store, "daily_forecast").values())
        )
        before = forecasts.filter(pl.col("as_of_session") < date(2012, 1, 1))
        assert before["is_fallback"].all()
        assert (
            forecasts.filter(pl.col("as_of_session") >= date(2012, 1, 3))["model_version"].min()
            == 1
        )


def test_months_of_other_settings_or_code_are_stale_and_say_why(folder: Path):
    with opened(folder) as project:
        sessions = project.partitions.sessions.get_partition_keys()
        materialise(project, DAILY_JOB, ("raw_prices", "features"), sessions)
        materialise(project, MONTHLY_JOB, MONTHLY_ASSETS, MONTHS[5:7])
        wanted = Wanted(dict.fromkeys(MONTHLY_ASSETS, MONTHS[5:7]))
        assert not project.plan(wanted)
        family = project.settings.model_copy(update={"model_family": "random_walk"})
        due = replace(project, settings=family).plan(wanted).due
        assert due["tuned_model"]["2011-12"] == Due(
            "stale", "made with model_family ridge, now random_walk", certain=True
        )
        assert due["registered_version"]["2011-12"] == Due(
            "stale", "waits for the model of 2011-12", waits=True
        )
        path = stored_partitions(project.store, "tuned_model")["2011-12"].path
        study = json.loads(project.store.get(path))
        study["stamp"]["code"] = "of another release"
        project.store.put_encoded({path: study}, as_json)
        assert project.plan(wanted).due["tuned_model"] == {
            "2011-12": Due("stale", "made by other code", certain=True)
        }


def test_a_month_whose_prices_never_move_has_a_version_and_no_skill(folder: Path):
    bars = pl.read_parquet(folder / "prices.parquet")
    last = bars.filter(pl.col("session") == date(2012, 1, 13)).select("ticker", still="close")
    bars = bars.join(last, on="ticker").with_columns(
        pl.when(pl.col("session") > date(2012, 1, 13)).then("still").otherwise(price).alias(price)
        for price in ("open", "high", "low", "close")
    )
    bars.drop("still").write_parquet(folder / "prices.parquet")
    with opened(folder) as project:
        sessions = project.partitions.sessions.get_partition_keys()
        materialise(project, DAILY_JOB, ("raw_prices", "features"), sessions)
        # February's ten test labels are the returns of 2012-01-18..2012-01-31.
        materialise(project, MONTHLY_JOB, MONTHLY_ASSETS, MONTHS[6:])
        study, version = (
            json.loads(project.store.get(f"{asset}/month=2012-02/value.json"))
            for asset in ("tuned_model", "registered_version")
        )
        assert study["test_losses"]["random_walk"] == [0.0] * 10
        assert study["test_skill"] is None
        assert version["version"] == 2
        same = "forecasts what the random walk forecasts"
        worse = "loss where the random walk has none"
        assert (same if study["family"] == "random_walk" else worse) in version["reason"]
        event = project.instance.get_latest_materialization_event(
            asset_key(project.settings.dataset_name, "tuned_model")
        )
        shown = event.asset_materialization.metadata
        assert shown["test_rmse_return_random_walk"].value == 0.0
        assert "test_skill" not in shown


def test_a_month_whose_features_have_a_hole_fails_loudly(folder: Path):
    with opened(folder) as project:
        sessions = project.partitions.sessions.get_partition_keys()
        materialise(project, DAILY_JOB, ("raw_prices", "features"), sessions)
        project.store.delete(["features/session=2012-01-17/part.parquet"])
        with pytest.raises(MissingPartitionsError, match="never materialised for 2012-01-17"):
            materialise(project, MONTHLY_JOB, ("train_set",), ["2012-01", "2012-02"])
        # The month before it was stored all the same.
        assert list(stored_partitions(project.store, "train_set")) == ["2012-01"]


def test_features_of_a_late_ticker_are_due_though_the_command_stopped_in_between(folder: Path):
    both = (Asset.RAW_PRICES, Asset.FEATURES)
    with opened(folder, tickers="T000,T001") as project:
        sessions = project.range_of(date(2011, 12, 1), date(2011, 12, 30)).prices
        fill(project, sessions, *both)
        before = project.store.get("features/session=2011-12-30/part.parquet")
    with opened(folder) as project:
        assert fill(project, sessions, Asset.RAW_PRICES)
        assert project.store.get("features/session=2011-12-30/part.parquet") == before
    with opened(folder) as project:
        assert fill(project, sessions, Asset.RAW_PRICES) == []
        assert fill(project, sessions, *both)
        rows = read_rows(
            project.store, [stored_partitions(project.store, "features")["2011-12-30"]]
        )
        assert rows["ticker"].to_list() == ["T000", "T001", "T002"]
        assert fill(project, sessions, *both) == []
