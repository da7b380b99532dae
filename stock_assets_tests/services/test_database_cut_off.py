"""PostgreSQL goes down under a command's feet, and is back for the next one."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.e2e.test_command_line import COMMAND
from stock_assets_tests.services.postgres_server import PASSWORD, PostgresServer, postgres_server
from stock_assets_tests.started import started
from stock_assets_tests.waiting import until

RUN = ("run", "--from", "2013-02-27", "--to", "2013-03-01", "--tickers", "IBM,MSFT", "--json")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        server.execute("postgres", "create database stock")
        yield server


@pytest.mark.timeout(300)
def test_a_command_names_the_database_that_went_down_and_the_next_one_goes_on(
    server: PostgresServer, tmp_path: Path
):
    home = make_home(tmp_path / "home")
    given = QUICK | {
        "home": home, "store_uri": f"file://{tmp_path}/objects", "model_family": "random_walk",
        "train_months": 3, "min_train_sessions": 30, "postgres_url": server.url("stock"),
    }  # fmt: skip
    environment = {
        **os.environ, **{f"STOCK_ASSETS_{name}".upper(): str(it) for name, it in given.items()}
    }  # fmt: skip
    cut_off = started([COMMAND, *RUN], home, environment)
    tables = "select 1 from pg_tables where schemaname = 'dagster' and tablename = 'runs'"
    until("Dagster's tables", lambda: server.execute("stock", tables))
    begun = "select 1 from dagster.runs where status = 'STARTED'"
    until("a run", lambda: server.execute("stock", begun))
    server.kill()
    said = cut_off.communicate(timeout=120)[0]
    assert cut_off.returncode == 1
    last = said.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert f"127.0.0.1:{server.port}" in last
    assert "Traceback" not in said
    assert PASSWORD[:7] not in said
    server.start()
    again = started([COMMAND, *RUN], home, environment)
    said = again.communicate(timeout=200)[0]
    assert again.returncode == 0, said
    assert json.loads(said[said.index("{") :])["sessions"] == 3
