"""Months trained in any order, and again within themselves, are the same months."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stock_assets.automation.jobs import DAILY_JOB, MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.project import Project, run_partitions
from stock_assets.deployment import training_months
from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.tuning import TuningBudget
from stock_assets.market.sessions import load_calendar
from stock_assets.resources.partition_objects import object_path
from stock_assets.resources.stored_values import read_values
from stock_assets_tests.conftest import settings_on_prices
from stock_assets_tests.dagster_runs import unrecorded_project
from stock_assets_tests.simulated_prices import Law, simulated_bars

MONTHS = ["2012-01", "2012-02", "2012-03", "2012-04", "2012-05"]
"""January has too little history, so February lends to March, and April to May."""


@contextmanager
def opened(folder: Path, name: str) -> Iterator[Project]:
    given = {"dataset": "same", "model_family": "ridge", "tuning_trials": 6}
    with unrecorded_project(settings_on_prices(folder, name, **given)) as project:
        yield project


def materialise(
    project: Project, months: list[str], assets: tuple[str, ...] = MONTHLY_ASSETS, through: str = ""
) -> None:
    every = project.partitions.months.get_partition_keys()
    config = {asset: {"train_through": through} for asset in assets if asset.endswith("_set")}
    run_partitions(project, MONTHLY_JOB, assets, months, every, 1000, config if through else None)


def value(project: Project, asset: str, month: str) -> dict[str, Any]:
    return read_values(project.store, [object_path(asset, month)], dict)[0]


def studies(project: Project) -> dict[str, Any]:
    found = {month: value(project, "tuned_model", month) for month in MONTHS}
    return {
        month: {n: v for n, v in study.items() if not n.startswith("mlflow_")}
        for month, study in found.items()
    }


@pytest.fixture(scope="module", autouse=True)
def _searches_that_find_something() -> Iterator[None]:
    """So few rows would have the usual parameters tried alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "stock_assets.forecasting.month_training.TuningBudget",
            partial(TuningBudget, rows_per_trial=10),
        )
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of all sessions, and MLflow's empty tables."""
    folder = tmp_path_factory.mktemp("order")
    bars = simulated_bars(load_calendar("XNYS"), "2011-08-15", 186, 3, 5, Law(signal=0.6))
    bars.write_parquet(folder / "prices.parquet")
    with opened(folder, "features") as project:
        sessions = project.partitions.sessions.get_partition_keys()
        assert sessions[-1] == "2012-05-09"
        run_partitions(
            project, DAILY_JOB, ("raw_prices", "features"), sessions, sessions, len(sessions)
        )
        materialise(project, MONTHS[:1], MONTHLY_ASSETS[:3])
    return folder


def copied(folder: Path, name: str) -> str:
    shutil.copytree(folder / "features", folder / name)
    return name


ORDERS = {
    "one by one backwards": [[month] for month in reversed(MONTHS)],
    "a part of a block before the whole of it": [["2012-03"], MONTHS[3:], MONTHS[:3]],
}


@pytest.fixture(scope="module")
def made_at_once(folder: Path) -> Iterator[Project]:
    with opened(folder, copied(folder, "at once")) as project:
        materialise(project, MONTHS, MONTHLY_ASSETS[:3])
        yield project


@pytest.fixture(scope="module")
def at_once(made_at_once: Project) -> dict[str, Any]:
    return studies(made_at_once)


def test_the_months_that_are_searched_are_those_of_the_calendar(at_once: dict[str, Any]):
    assert at_once["2012-01"]["status"] == "not_enough_history"
    assert [at_once[month]["params_from"] for month in MONTHS[1:]] == [
        "2012-02", "2012-02", "2012-04", "2012-04",
    ]  # fmt: skip
    assert at_once["2012-02"]["params"] == at_once["2012-03"]["params"]
    assert at_once["2012-02"]["params"] != at_once["2012-04"]["params"]


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_training_changes_nothing(folder: Path, at_once: dict[str, Any], order: str):
    with opened(folder, copied(folder, order)) as project:
        with pytest.raises(MissingPartitionsError) as refused:
            materialise(project, ["2012-05"], MONTHLY_ASSETS[:3])
        assert str(refused.value) == (
            "tuned_model of 2012-04, which lends its parameters, was never materialised:"
            " materialise that month in the page first, or with `stock-assets run --from"
            " 2012-04-01 --to 2012-04-28`"
        )
        assert (refused.value.asset, refused.value.keys) == ("tuned_model", ("2012-04",))
        with_lenders = training_months(project.settings, project.partitions).with_lenders
        for months in ORDERS[order]:
            materialise(project, with_lenders(months), MONTHLY_ASSETS[:3])
        assert studies(project) == at_once


def test_a_retrain_within_a_month_changes_no_other_month(
    made_at_once: Project, at_once: dict[str, Any]
):
    project = made_at_once
    materialise(project, ["2012-02"])
    plain = value(project, "registered_version", "2012-02")
    assert plain["fingerprint"] == at_once["2012-02"]["fingerprint"]
    assert plain["held_against"] == {"point": None, "intervals": None}
    assert "earlier" not in plain
    materialise(project, ["2012-02"], through="2012-02-13")
    again = value(project, "registered_version", "2012-02")
    study = value(project, "tuned_model", "2012-02")
    assert study["trained_through"] == again["trained_through"] == "2012-02-13"
    assert study["fingerprint"] != at_once["2012-02"]["fingerprint"]
    for name in ("params", "params_from"):
        assert study[name] == at_once["2012-02"][name]
    assert (plain["version"], again["version"]) == (1, 2)
    assert again["earlier"] == plain
    point = plain["fingerprint"] if plain["approved"] else None
    assert again["held_against"]["point"] == point
    # Once more, and the same once more: each version that it had is kept once.
    for _ in range(2):
        materialise(project, ["2012-02"], through="2012-02-21")
        assert value(project, "registered_version", "2012-02")["earlier"] == again
    materialise(project, ["2012-03"], MONTHLY_ASSETS[:3])
    materialise(project, ["2012-02"], MONTHLY_ASSETS[:3])
    assert studies(project) == at_once
