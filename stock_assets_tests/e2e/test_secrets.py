"""No secret in anything that is said, stored, logged or listed: a marker stands for each of them.

What works and what fails is run as a person runs it, and then every file, every line and every
process's arguments are searched.
"""

import json
import os
import sqlite3
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner
from dagster._core.remote_representation.external_data import RepositorySnap

from stock_assets.cli import main
from stock_assets.definitions import build_definitions
from stock_assets.environment import load_settings
from stock_assets.local.grpc_security import write_private
from stock_assets.local.own_folder import own_folder
from stock_assets.market.sources.sample import sample_bars
from stock_assets.settings import secret_names
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.e2e.test_command_line import COMMAND
from stock_assets_tests.http_stand_in import HttpStandIn
from stock_assets_tests.loopback import Inbox, inbox
from stock_assets_tests.planted import MARK, arguments, around, leaks
from stock_assets_tests.started import started

NOBODY = "127.0.0.1:9"
RUN = ("run", "--from", "2013-02-27", "--to", "2013-02-28")
SMALL = {
    "source": "http",
    "tickers": "AAPL,IBM",
    "http_columns": "dividend=divCash,split_ratio=splitFactor",
    "first_session": "2012-10-01",
    "last_session": "2013-02-28",
    "train_months": 3,
    "min_train_sessions": 30,
    "test_sessions": 5,
    "model_family": "random_walk",
    "tuning_trials": 1,
}
# Nobody waits for a tracking server that is not there.
IMPATIENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "2"}


@dataclass
class Place:
    """A checkout whose secrets are all markers, and what its commands said."""

    home: Path
    vendor: HttpStandIn
    webhook: str
    inbox: Inbox
    patch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]
    said: list[str] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)

    def secrets(self) -> dict[str, str]:
        """Each with a name of its own after the marker, which says what leaked."""
        origin = self.vendor.origin.removeprefix("http://")
        return {
            "http_url": f"http://me:{MARK}vendor@{origin}/d/{{ticker}}?from={{first}}"
            f"&to={{last:%Y%m%d}}&apikey={MARK}apikey&token={{key}}",
            "http_key": f"{MARK}/key+",
            "s3_secret_access_key": f"{MARK}s3",
            "notify_urls": f"json://me:{MARK}mail@{self.webhook}/{MARK}hook",
        }

    def settings(self, **changed: str) -> dict[str, str]:
        given = {**QUICK, **SMALL, **self.secrets(), **changed}
        ours = {f"STOCK_ASSETS_{name.upper()}": str(value) for name, value in given.items()}
        return {**ours, **IMPATIENT}

    def run(self) -> int:
        """Runs the program while the processes of this machine are listed. Its exit code."""
        environment = {**os.environ, **self.settings(), "HOME": str(self.home)}
        process = started([COMMAND, *RUN], self.home, environment)
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(over,))
        watch.start()
        try:
            self.said.append(process.communicate(timeout=280)[0])
        finally:
            over.set()
            watch.join()
        return process.returncode

    def call(self, *command: str, **changed: str) -> int:
        """The same within this process, which has imported what it takes; with a stack trace."""
        self.capfd.readouterr()
        self.patch.chdir(self.home)
        for name, value in self.settings(**changed).items():
            self.patch.setenv(name, value)
        done = CliRunner().invoke(main, ["-v", *command])
        self.said.append("".join((done.output, *self.capfd.readouterr())))
        return done.exit_code

    def _watch(self, over: threading.Event) -> None:
        while not over.wait(0.3):
            self.listed |= arguments()

    def found(self) -> list[str]:
        """Where a marker is though nobody may see it."""
        told = [around(text) for text in (*self.said, *self.listed) if MARK in text]
        return told + leaks(self.home)


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Place]:
    bars = sample_bars().filter(
        pl.col("ticker").is_in(["AAPL", "IBM"]), pl.col("session") >= date(2012, 10, 1)
    )
    with HttpStandIn(bars) as vendor, inbox() as taken:
        home = make_home(tmp_path / "home")
        # The local store's own secret is a marker too.
        write_private(
            own_folder(home / "var/store") / "credentials.json",
            json.dumps({"id": "own", "secret": f"{MARK}own"}).encode(),
        )
        yield Place(home, vendor, taken.url.removeprefix("http://"), taken, monkeypatch, capfd)


def test_no_secret_is_in_what_is_said_stored_logged_or_listed(place: Place):
    """One home for all: Dagster's and MLflow's databases and every log are searched at the end."""
    assert place.run() == 0, place.said
    assert place.call("notify-test") == 0
    assert place.inbox.requests[0][:2] == ("POST", f"/{MARK}hook")  # it was used
    assert set(place.vendor.queries[0]) == {"from", "to", "apikey", "token"}
    place.vendor.always = 401  # the answer repeats the key
    assert place.call(*RUN, "--fresh", store_uri=f"file://{place.home}/objects") == 1
    assert "does not let us in" in place.said[-1]
    place.webhook = NOBODY
    assert place.call("notify-test") == 1
    of_nobody = {
        "mlflow_tracking_uri": f"http://me:{MARK}server@{NOBODY}/?token={MARK}",
        "store_uri": f"file://{place.home}/objects",
        "notify_urls": f"nothing://{MARK}",
    }
    assert place.call("doctor", **of_nobody) == 1
    assert f"API request to http://{NOBODY}/api/2.0/mlflow/" in place.said[-1]
    place.inbox.status = 403
    refuses = {"s3_endpoint_url": place.inbox.url, "s3_access_key_id": "me"}
    assert place.call("status", store_uri="s3://bucket/x", **refuses) == 1
    assert "Error: s3://bucket/x/" in place.said[-1]
    databases = {file.name for file in place.home.rglob("*.db")}
    assert {"mlflow.db", "runs.db"} <= databases
    assert place.found() == []


def test_no_secret_is_in_what_dagsters_page_is_told_of_the_code(place: Place):
    """Every asset, job, resource and its configuration, as the page gets them."""
    databases = ("mlflow_tracking_uri", "postgres_url", "dagster_url", "studies_url")
    secrets = place.secrets() | {
        **{name: f"postgresql://me:{MARK}db@{NOBODY}/{name}" for name in databases},
        "executor": "celery",
        "celery_broker_url": f"redis://:{MARK}queue@{NOBODY}/0",
        "celery_backend_url": f"redis://:{MARK}results@{NOBODY}/1",
        "store_uri": "s3://bucket/x",
        "s3_endpoint_url": f"http://{NOBODY}",
    }
    given = {**SMALL, **secrets, "home": place.home}
    assert {name for name in secret_names() if MARK not in str(given.get(name))} == set()
    repository = build_definitions(load_settings(**given)).get_repository_def()
    told = dg.serialize_value(RepositorySnap.from_def(repository))
    assert '"http-' in told
    assert MARK not in told, around(told)


def test_a_marker_is_found_wherever_it_could_be(tmp_path: Path):
    """The search itself: it can fail."""
    frame = pl.DataFrame({"a": [MARK]})
    frame.write_parquet(tmp_path / "a.parquet", compression="zstd")
    with zipfile.ZipFile(tmp_path / "b.skops", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", "x" * 1_000 + MARK)
    with closing(sqlite3.connect(tmp_path / "c.db")) as database, database:
        database.execute("create table snapshots (body blob)")
        database.execute("insert into snapshots values (?)", [zlib.compress(MARK.encode())])
    (tmp_path / "d.log").write_text(f"http://me:{MARK}@host")
    (tmp_path / f"e-{MARK}").touch()
    (tmp_path / "credentials.json").write_text(MARK)  # its owner's
    assert {found.partition(":")[0] for found in leaks(tmp_path)} == {
        "a.parquet", "b.skops", "c.db", "d.log", f"e-{MARK}",
    }  # fmt: skip
