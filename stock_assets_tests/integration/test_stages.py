"""Stages by hand over own files that end in the current month, as everybody's do who keeps some."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from stock_assets.backfill.project import open_project, run_partitions
from stock_assets.commands.run import run
from stock_assets.commands.stage import run_stage
from stock_assets.deployment import training_months
from stock_assets.errors import MissingPartitionsError
from stock_assets.market.months import month_key
from stock_assets.market.sessions import load_calendar
from stock_assets.settings import Settings
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.simulated_prices import Law, simulated_bars

NEWEST = load_calendar("XNYS").last_before(datetime.now(UTC).date() - timedelta(days=1))


def settings_of(folder: Path) -> Settings:
    calendar = load_calendar("XNYS")
    first = calendar.offset(NEWEST, -149)
    bars = simulated_bars(calendar, str(first), 150, 4, 3, Law(signal=0.4))
    assert bars["session"].max() == NEWEST
    bars.write_parquet(folder / "prices.parquet")
    return Settings(
        home=make_home(folder / "home"),
        store_uri=f"file://{folder / 'objects'}",
        source="files",
        files_uri=str(folder / "prices.parquet"),
        **QUICK | {"train_months": 3, "min_train_sessions": 30, "model_family": "ridge"},
    )


def test_every_stage_and_a_run_store_the_month_in_which_the_files_end(tmp_path: Path):
    settings, month = settings_of(tmp_path), month_key(NEWEST)
    with open_project(settings) as project:
        # And the month whose parameters it takes over, where that is another.
        keys = training_months(settings, project.partitions).with_lenders([month])
    months = " and ".join(keys)
    assert run_stage(settings, "prepare") == (
        f"prepare: raw_prices, features, train_set, test_set of {NEWEST} and {months}"
    )
    assert run_stage(settings, "train") == f"train: tuned_model of {months}"
    assert run_stage(settings, "register") == f"register: registered_version of {months}"
    with open_project(settings) as project:
        for asset, file in {
            "train_set": "part.parquet",
            "tuned_model": "value.json",
            "registered_version": "value.json",
        }.items():
            assert project.store.keys(asset) == [f"{asset}/month={key}/{file}" for key in keys]
    result = run(settings, NEWEST, NEWEST)
    assert result["to"] == str(NEWEST)
    assert isinstance(result["newest_forecasts"], pl.DataFrame)
    assert result["newest_forecasts"].height == 4


def test_a_key_that_is_no_partition_is_refused_and_not_run_for_nothing(tmp_path: Path):
    with open_project(settings_of(tmp_path)) as project:
        keys = project.partitions.months.get_partition_keys()
        with pytest.raises(MissingPartitionsError, match="has no partition 2099-01; it has 20"):
            run_partitions(project, "monthly_job", ["tuned_model"], ["2099-01"], keys, 1)
        assert project.instance.get_runs() == []


def test_a_stage_that_stored_nothing_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # Whatever the reason: a run that ends well without the object that it was asked for.
    monkeypatch.setattr("stock_assets.commands.stage.run_partitions", lambda *_, **__: 0)
    with pytest.raises(MissingPartitionsError, match=r"tuned_model of 20\d\d-\d\d was run and not"):
        run_stage(settings_of(tmp_path), "train")
