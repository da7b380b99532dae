"""What tests share: an environment of their own, and a project in a temporary folder."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dagster._core.storage.defs_state.base import set_defs_state_storage

from stock_assets.backfill.project import Project, open_project
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.resources import mlflow_database, mlflow_tracking
from stock_assets.settings import Settings

CHECKOUT = Path(__file__).parents[1]

# Once, before anything draws: matplotlib would keep its list of fonts in the home folder.
os.environ.setdefault("MPLCONFIGDIR", str(CHECKOUT / "var" / "matplotlib"))
_OF_ALL = {
    # Before a test imports MLflow, which would else write an identity into the home folder.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # As the command has it; one by one, events take a quarter of the time of a test that has many.
    "DAGSTER_EVENT_BATCH_SIZE": "500",
}
os.environ.update(_OF_ALL)

# Small enough for seconds, large enough that every part does its work.
QUICK = {
    "train_months": 6,
    "min_train_sessions": 60,
    "test_sessions": 10,
    "tuning_trials": 2,
    "tuning_folds": 2,
    "tuning_trees": 5,
    "trees": 10,
}


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the developer's machine reaches a test."""
    for name in os.environ:
        if name not in _OF_ALL and name.startswith(
            ("STOCK_ASSETS_", "DAGSTER_", "MLFLOW_", "AWS_")
        ):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _own_state_of_definitions() -> Iterator[None]:
    """Dagster notes where the instance that was entered last keeps its state of definitions.

    Contexts that end out of order, as after a simulated kill, would leave one of a test before.
    """
    with set_defs_state_storage(None):
        yield


@pytest.fixture(scope="session", autouse=True)
def _mlflow_tables_are_made_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """MLflow takes more than a second to make them, which is a third of many a test."""
    empty = tmp_path_factory.mktemp("mlflow") / "mlflow.db"

    def copied(database: Path) -> None:
        mlflow_database.create_whole(empty)
        if not database.exists():
            shutil.copy(empty, database)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mlflow_tracking, "create_whole", copied)
        yield


@pytest.fixture(scope="session")
def xnys() -> ExchangeCalendar:
    return load_calendar("XNYS")


def make_home(folder: Path) -> Path:
    """A folder that a project can run in."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(CHECKOUT / "dagster.yaml", folder)
    return folder


def settings_on_prices(folder: Path, home: str, **options: Any) -> Settings:
    """Quick settings on a folder's `prices.parquet`, with a home of that name below it."""
    given: dict[str, Any] = {
        "home": make_home(folder / home),
        "store_uri": f"file://{folder / home / 'objects'}",
        "source": "files",
        "files_uri": str(folder / "prices.parquet"),
        "train_months": 3,
        "min_train_sessions": 30,
    }
    return Settings(**QUICK | given | options)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Quick settings on a folder instead of a server."""
    home = make_home(tmp_path / "home")
    return Settings(home=home, store_uri=f"file://{tmp_path / 'objects'}", **QUICK)


@pytest.fixture
def project(settings: Settings) -> Iterator[Project]:
    with open_project(settings) as opened:
        yield opened
