"""docs/deploy.md on production, word by word: PostgreSQL, an own S3 server, two machines.

Between the machines and the server is a proxy that notes what S3 is asked for.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stock_assets.local.processes import free_port
from stock_assets.resources.object_store import ObjectStore, open_store
from stock_assets.resources.s3_account import s3_client
from stock_assets.settings import Settings
from stock_assets_tests.asked_pages import ask, page
from stock_assets_tests.conftest import CHECKOUT, QUICK
from stock_assets_tests.e2e.test_command_line import COMMAND
from stock_assets_tests.s3_actions import Wire, allows, policy, recorded
from stock_assets_tests.served_pages import served
from stock_assets_tests.services.postgres_server import PASSWORD, PostgresServer, postgres_server
from stock_assets_tests.services.test_pages import checkout
from stock_assets_tests.started import started

RUN = ("run", "--from", "2013-02-27", "--to", "2013-03-01", "--tickers", "IBM,MSFT")
SHORT = {
    "model_family": "random_walk", "train_months": 3, "min_train_sessions": 30, "test_sessions": 5,
}  # fmt: skip
SECRETS = (PASSWORD, PASSWORD.partition("@")[0])  # whole, and what no escaping changes


def documented_variables() -> str:
    page = (CHECKOUT / "docs" / "deploy.md").read_text(encoding="utf-8")
    return page.split("\n## Production\n")[1].split("```sh\n")[1].split("```")[0]


@dataclass(frozen=True)
class Production:
    server: PostgresServer
    store: ObjectStore
    wire: Wire
    folder: Path

    @property
    def bucket(self) -> str:
        return self.store.bucket

    def objects(self) -> list[str]:
        pages = s3_client(self.store).get_paginator("list_objects_v2")
        return [
            entry["Key"]
            for found in pages.paginate(Bucket=self.bucket)
            for entry in found.get("Contents", [])
        ]

    def machine(self, name: str, **settings: object) -> tuple[Path, dict[str, str]]:
        """A checkout and an environment as the page wants them, with real names for examples."""
        home, variables = checkout(self.folder / name), documented_variables()
        connection = self.store.connection
        assert connection
        for example, real in {
            "postgresql://user:password@host/database": self.server.url("stock"),
            "your-bucket": self.bucket,
            "https://s3.example.com": self.wire.url,
            "=key ": f"={connection.access_key_id} ",
            "=secret ": f"={connection.secret_access_key} ",
        }.items():
            assert example in variables
            variables = variables.replace(example, real)
        exported = subprocess.run(
            ["bash", "-euc", f"{variables}\nenv -0"], capture_output=True, text=True, check=True
        ).stdout
        given = QUICK | SHORT | {"home": home} | settings
        return home, {
            **dict(line.split("=", 1) for line in exported.split("\0") if line),
            **{f"STOCK_ASSETS_{key}".upper(): str(value) for key, value in given.items()},
            "HOME": str(home),
        }


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Production]:
    folder = tmp_path_factory.mktemp("production")
    with postgres_server() as server, open_store(Settings(home=folder / "s3")) as store:
        server.execute("postgres", "create database stock")
        assert store.connection
        with recorded(str(store.connection.endpoint_url)) as wire:
            yield Production(server, store, wire, folder)


def assert_secret(text: str) -> None:
    assert [secret for secret in SECRETS if secret in text] == []


@pytest.mark.timeout(600)
def test_two_machines_start_at_once_on_empty_databases(production: Production):
    machines = [production.machine(name, dataset=name) for name in ("one", "two")]
    processes = [started([COMMAND, *RUN], home, environment) for home, environment in machines]
    said = [process.communicate(timeout=500)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    for text in said:
        assert "2013-02-27 .. 2013-03-01: 6 forecasts of 2 tickers, 3 sessions" in text
        assert "Traceback" not in text
        assert_secret(text)
    tables = production.server.tables("stock")
    assert {"runs", "event_logs", "instance_info"} <= tables["dagster"]
    assert {"experiments", "model_versions"} <= tables["mlflow"]
    assert {"studies", "trials"} <= tables["optuna"]
    assert tables.keys() == {"dagster", "mlflow", "optuna"}
    root = f"s3://{production.bucket}/stock_assets"
    kept = production.server.execute(
        "stock",
        "select name, artifact_location from mlflow.experiments where name <> 'Default' order by 1",
    )
    assert kept == [(f"stock_assets/{name}", f"{root}/{name}/mlflow") for name in ("one", "two")]
    for name in ("one", "two"):
        under = f"stock_assets/{name}/mlflow/"
        assert [
            k for k in production.objects() if k.startswith(under) and k.endswith("model.skops")
        ]
    assert [key for key in production.objects() if key.startswith("stock_assets/compute_logs/")]
    for home, _ in machines:
        assert {path.name for path in home.iterdir()} == {
            "dagster.yaml", "pyproject.toml", "workspace.yaml", "var",
        }  # fmt: skip
        assert [*home.rglob("*.db"), *home.rglob("*.journal")] == []
        for file in (file for file in home.rglob("*") if file.is_file()):
            assert_secret(file.read_text(errors="ignore"))


def test_the_pages_of_a_database_show_no_password(production: Production):
    # Apart from those of another test run, which may be taken between the look and the start.
    first = 20_000 + os.getpid() % 1_000
    ports = {"dagster_port": free_port(first), "mlflow_port": free_port(first + 2_000)}
    home, environment = production.machine("page", dataset="one", **ports)
    with served(home, environment) as ui:
        dagster, mlflow = (f"http://127.0.0.1:{port}" for port in ports.values())
        assert f"MLflow   {mlflow}" in ui.said
        experiments = page(f"{mlflow}/ajax-api/2.0/mlflow/experiments/search?max_results=9")
        assert "stock_assets/one" in experiments
        shown = ask(ports["dagster_port"], "{instance {info} runsOrError {... on Runs {count}}}")
        assert shown["runsOrError"]["count"] >= 0
        assert "WatchedRunLauncher" in shown["instance"]["info"]
        listed = subprocess.run(["ps", "-ww", "-eo", "args="], capture_output=True, check=True)
        for text in (
            "\n".join(ui.said),
            experiments,
            json.dumps(shown),
            page(dagster),
            page(mlflow),
            listed.stdout.decode(),
        ):
            assert_secret(text)
    assert not list(home.glob("ml*"))
    logs = list((home / "var/pages").glob("*.log"))
    assert {log.stem for log in logs} == {"code", "daemon", "dagster", "mlflow"}
    for log in logs:
        assert_secret(log.read_text())


def test_awss_policy_allows_what_is_asked_and_nothing_else(production: Production):
    """Of all that the tests before did, and of a doctor's visit and a damaged object."""
    home, environment = production.machine("doctor", dataset="one")
    damaged = next(k for k in production.objects() if k.startswith("stock_assets/one/features/"))
    s3_client(production.store).put_object(Bucket=production.bucket, Key=damaged, Body=b"damaged")
    for command, status in (("doctor", 1), ("run", 0)):
        line = [COMMAND, command, *(RUN[1:] if command == "run" else ())]
        process = started(line, home, environment)
        said = process.communicate(timeout=300)[0]
        assert process.returncode == status, said
    assert production.wire.unknown == []
    asked = production.wire.asked
    statements = policy(CHECKOUT / "deploy/aws/policy.json", your_bucket=production.bucket)
    assert [action for action in sorted(asked) if not allows(statements, action)] == []
    granted = {action for statement in statements for action in statement.actions}
    assert granted == {action for action, _ in asked}
    copied = f"{production.bucket}/stock_assets/one/damaged/"
    assert [to for action, to in asked if action == "s3:PutObject" and to.startswith(copied)]


def test_a_database_that_is_down_is_one_line(production: Production):
    home, environment = production.machine("down")
    for variable, arguments in (
        ("STOCK_ASSETS_POSTGRES_URL", RUN),
        ("STOCK_ASSETS_MLFLOW_TRACKING_URI", ("doctor",)),
    ):
        nobody = f"postgresql://user:{PASSWORD[:7]}@127.0.0.1:9/x"
        process = started([COMMAND, *arguments], home, environment | {variable: nobody})
        said = process.communicate(timeout=120)[0]
        assert process.returncode == 1
        assert "postgresql+psycopg2://127.0.0.1:9/x: connection to server at" in said
        assert "Traceback" not in said
        assert_secret(said)
