"""MLflow's database is made by one process at a time, whole or not at all."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import pytest

from stock_assets.local.locks import one_at_a_time
from stock_assets.resources.mlflow_database import local_database, local_uri
from stock_assets.resources.mlflow_tracking import MlflowTracking
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings


def test_nobody_creates_the_tables_while_another_process_may(tmp_path: Path):
    settings, before = (
        Settings(home=tmp_path / name, store_uri=f"file://{tmp_path / 'objects'}")
        for name in ("home", "before")
    )
    database = local_database(settings)

    def tables(of: Settings) -> int:
        with (
            open_store(of) as store,
            MlflowTracking(of, store).client(),
            sqlite3.connect(local_database(of)) as connection,
        ):
            return int(connection.execute("select count(*) from sqlite_master").fetchone()[0])

    there = tables(before)  # importing MLflow, which takes seconds, is over before the test looks
    with ThreadPoolExecutor() as pool:
        with one_at_a_time(
            settings, "mlflow"
        ):  # a lock of files: a thread is held back as a process is
            waiting = pool.submit(tables, settings)
            time.sleep(2)
            assert not waiting.done()
            assert not database.exists()
            assert list(database.parent.iterdir()) == []
        assert waiting.result(timeout=60) == there > 20


def test_the_address_that_another_thread_sets_meanwhile_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Two datasets' schedules tick in threads of one code server, and MLflow has one address."""
    own, other = (
        Settings(home=tmp_path / name, store_uri=f"file://{tmp_path / 'objects'}", dataset=name)
        for name in ("own", "other")
    )
    set_address = mlflow.set_tracking_uri
    monkeypatch.setattr(mlflow, "set_tracking_uri", lambda _: set_address(local_uri(other)))
    with open_store(own) as store:
        tracking = MlflowTracking(own, store)
        with tracking.client() as client:
            assert client.get_experiment_by_name(tracking.experiment)
    assert local_database(own).is_file()
    assert not local_database(other).exists()
