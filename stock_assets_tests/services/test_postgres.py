"""One setting puts everything on PostgreSQL, and nothing that is forecast depends on it."""

import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import optuna
import polars as pl
import pytest
import yaml

from stock_assets import read
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.backfill.project import open_project
from stock_assets.environment import load_settings
from stock_assets.local.postgres import with_driver
from stock_assets.resources.mlflow_database import registered_rows
from stock_assets.resources.search_journal import forget_searches, open_journal
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import comparable
from stock_assets_tests.conftest import CHECKOUT, QUICK, make_home
from stock_assets_tests.e2e.test_command_line import COMMAND, environment
from stock_assets_tests.integration.test_dagster_storage import KEYS, materialise, seen
from stock_assets_tests.services.postgres_server import PASSWORD, PostgresServer, postgres_server
from stock_assets_tests.started import started

RUN = ("run", "--from", "2013-02-27", "--to", "2013-02-28")
BACKFILL = ("backtest", "--from", "2013-02-05", "--to", "2013-02-07")
SECRETS = (PASSWORD, PASSWORD.partition("@")[0])  # whole, and what no escaping changes
SHORT = QUICK | {
    "first_session": "2012-08-15", "tickers": "AAPL,IBM", "train_months": 3,
    "min_train_sessions": 30, "test_sessions": 5, "retune_months": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as running:
        running.execute("postgres", "create database stock")
        yield running


def settings_of(folder: Path, **others: str) -> dict[str, str]:
    """Those of machines whose homes lie in a folder: they share a store."""
    return SHORT | {"store_uri": f"file://{folder}/objects"} | others


def finished(*processes: subprocess.Popen[str]) -> tuple[str, str]:
    """What commands printed, and the arguments that other users could read meanwhile."""
    seen = ""
    while any(process.poll() is None for process in processes):
        seen += subprocess.check_output(["ps", "-ww", "-eo", "args="], text=True)
        time.sleep(0.5)
    said = "\n".join(process.communicate()[0] for process in processes)
    assert [process.returncode for process in processes] == [0] * len(processes), said
    return said, seen


def on_sqlite(folder: Path) -> tuple[pl.DataFrame, object]:
    """In this process, which has imported everything."""
    home, given = make_home(folder / "home"), settings_of(folder)
    with open_project(load_settings(home=home, **given)) as project:
        for command in (RUN, BACKFILL):
            first, last = (date.fromisoformat(word) for word in command[2::2])
            bring_up_to_date(project, project.range_of(first, last).wanted(), Progress())
    return left_in(home, given)


def left_in(home: Path, given: dict[str, str]) -> tuple[pl.DataFrame, object]:
    """The forecasts, and all else that is the same whoever came first."""
    settings = load_settings(home=home, **given)
    forecasts = read.open_dataset(settings).forecasts().sort("as_of_session", "ticker")
    # Rolling errors tell which of the two commands came first.
    left = {key: of for key, of in comparable(settings).items() if "forecast_rmse" not in key}
    return forecasts, left


@pytest.mark.timeout(600)
def test_two_machines_start_it_at_once_and_forecast_what_sqlite_does(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One runs the job and one a backfill, on a database without a table."""
    folder, url = tmp_path / "postgres", server.url("stock")
    given = settings_of(folder, postgres_url=url)
    homes = [make_home(folder / name) for name in ("one", "two")]
    printed = finished(
        *(
            started([COMMAND, *command], home, environment(home, **given))
            for command, home in zip((RUN, BACKFILL), homes, strict=True)
        )
    )
    kept = [path.read_text(errors="ignore") for path in folder.rglob("*") if path.is_file()]
    for text in (*printed, *kept):
        assert [secret for secret in SECRETS if secret in text] == []
    assert "stock-assets backtest" in printed[1]
    assert [*folder.rglob("*.db"), *folder.rglob("*.journal")] == []

    tables = server.tables("stock")
    assert {name: "alembic_version" in tables[name] for name in tables} == {
        "dagster": True, "mlflow": True, "optuna": True
    }  # fmt: skip
    studies = server.execute("stock", "select study_name from optuna.studies")
    assert {name[:15] for (name,) in studies} == {"sample 2013-02 "}
    batches = server.execute(
        "stock",
        "select count(*), count(distinct xmin::text) from dagster.event_logs"
        " where dagster_event_type like 'ASSET_MATERIALIZATION%' group by dagster_event_type",
    )
    for events, transactions in batches:
        assert events > 15 * transactions

    expected, all_of_sqlite = on_sqlite(tmp_path / "sqlite")
    monkeypatch.setenv("STOCK_ASSETS_POSTGRES_URL", url)
    forecasts, all_of_postgres = left_in(homes[0], given)
    # Of two tickers, for two and three sessions: from those, and from the one before.
    assert forecasts.height == expected.height == 2 * (3 + 4)
    numbers = forecasts.select(pl.selectors.float()).columns
    assert {"forecast_close_usd", "upper_95_usd"} <= set(numbers)
    differences = forecasts.select(numbers) - expected.select(numbers)
    assert max(differences.select(pl.all().abs().max()).row(0)) < 1e-9
    assert all_of_postgres == all_of_sqlite
    rows = registered_rows(load_settings(home=homes[0], **given), "stock_assets_sample")
    assert [(row.version, row.tags["month"]) for row in rows or ()] == [(1, "2013-02")]


def test_a_search_goes_on_on_another_machine(server: PostgresServer, tmp_path: Path):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    machines = [
        Settings(home=tmp_path / name, dataset="mine", postgres_url=server.url("stock"))
        for name in ("one", "two")
    ]
    other = machines[0].model_copy(update={"dataset": "other"})

    def numbers(settings: Settings) -> list[int]:
        study = optuna.create_study(
            storage=open_journal(settings, print),
            study_name=f"{settings.dataset_name} 2020-01",
            load_if_exists=True,
        )
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
        return [trial.number for trial in study.trials]

    assert [numbers(machine) for machine in (*machines, other)] == [[0], [0, 1], [0]]
    assert not list(tmp_path.iterdir())
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert forget_searches(machines[1], tomorrow, dry_run=True) == 1
    assert forget_searches(machines[1], tomorrow, dry_run=False) == 1
    assert [numbers(machine) for machine in (machines[0], other)] == [[0], [0, 1]]


def test_a_user_who_may_create_nothing_takes_the_schemas_that_are_there(
    server: PostgresServer, tmp_path: Path
):
    server.execute("postgres", "create database guarded")
    server.execute("postgres", "create user modest password 'modest'")
    server.execute("guarded", "create schema optuna authorization modest")
    url = f"postgresql://modest:modest@{server.url('guarded').rpartition('@')[2]}"
    storage = open_journal(Settings(home=tmp_path, postgres_url=url), print)
    assert storage.get_all_studies() == []
    assert server.tables("guarded").keys() == {"optuna"}


def test_dagsters_instance_is_what_dagsters_own_storage_leaves(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    found, checks = [], []
    for storage in ("own", "batching"):
        server.execute("postgres", f"create database {storage}")
        url = with_driver(server.url(storage))
        monkeypatch.setenv("STOCK_ASSETS_DAGSTER_URL", url)
        chosen = {
            "own": {"postgres": {"postgres_url": url}},
            "batching": yaml.safe_load((CHECKOUT / "dagster.yaml").read_text())["storage"],
        }[storage]
        (tmp_path / "dagster.yaml").write_text(
            yaml.safe_dump({"storage": chosen, "telemetry": {"enabled": False}})
        )
        with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
            found.append(seen(opened, materialise(opened)))
            checks.append(found[-1].pop("checks"))
    own, batching = found
    assert batching == own
    assert batching["materialisations"] == [*KEYS, KEYS[3]]
    # A row of each run's check; Dagster's own has one per key beside those.
    assert [len(rows) for rows in checks] == [2 + len(KEYS) + 1, 2]
    assert server.tables("batching").keys() == {"public"}
