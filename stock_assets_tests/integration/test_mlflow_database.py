"""MLflow's database is made by one process at a time, whole or not at all."""

import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow  # noqa: F401  # what takes seconds is over before the test looks

from stock_assets.resources.mlflow_runs import MlflowTracking, local_database, one_at_a_time
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings


def test_nobody_creates_the_tables_while_another_process_may(tmp_path: Path):
    settings = Settings(home=tmp_path, store_uri=f"file://{tmp_path / 'objects'}")
    database = local_database(settings)

    def tables() -> int:
        with (
            open_store(settings) as store,
            MlflowTracking(settings, store).client(),
            sqlite3.connect(database) as connection,
        ):
            return int(connection.execute("select count(*) from sqlite_master").fetchone()[0])

    with ThreadPoolExecutor() as pool:
        with one_at_a_time(settings):  # a lock of files: a thread is held back as a process is
            waiting = pool.submit(tables)
            time.sleep(2)
            assert not waiting.done()
            assert not database.exists()
            assert list(database.parent.iterdir()) == []
        assert waiting.result(timeout=60) > 20
