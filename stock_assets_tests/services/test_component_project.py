"""The built wheel in a fresh project of somebody else, offline: two instances beside each other.

Everything goes through commands of Dagster and processes of its own, as it does for that somebody.
"""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from stock_assets import read
from stock_assets.component import instance_settings
from stock_assets.local.processes import free_port
from stock_assets_tests.asked_pages import BACKFILL, LAUNCH, ask, page
from stock_assets_tests.conftest import CHECKOUT
from stock_assets_tests.waiting import until

LAST = "2013-03-01"
NAMES = ("us", "week_5_sessions")
US = """\
type: stock_assets.StockForecasts
attributes:
  name: us
  source: sample
  tickers: [AAPL, IBM]
  first_session: 2012-09-17
  train_months: 3
  min_train_sessions: 30
  test_sessions: 5
  retune_months: 1
"""
WEEK = US.replace("name: us", "name: week\n  horizon: 5").replace("  source: sample\n", "")
PROJECT = {
    "pyproject.toml": """\
[project]
name = "mine"
version = "0.1"
requires-python = ">=3.11"
dependencies = ["dagster", "stock-assets"]

[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "mine"
""",
    "src/mine/__init__.py": "",
    "src/mine/defs/__init__.py": "",
    "src/mine/definitions.py": """\
from pathlib import Path

import dagster as dg


@dg.definitions
def defs():
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
""",
}
ORDER = """\
telemetry:
  enabled: false
concurrency:
  runs:
    tag_concurrency_limits:
      - key: dagster/backfill
        value: {applyLimitPerUniqueValue: true}
        limit: 1
"""
"""The user's `dagster.yaml`, with what docs/component.md asks for."""


class Project:
    """A project as `create-dagster` lays it out, and the environment that it is installed in."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder, self._bin = folder, bin_folder
        self.home = folder.parent / "dagster_home"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text(ORDER)
        for name, text in PROJECT.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def write(self, instance: str, text: str) -> None:
        file = self.folder / "src" / "mine" / "defs" / instance / "defs.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "HOME": str(self.home),
            "PATH": os.pathsep.join((str(self._bin), os.environ["PATH"])),
            "PYTHONPATH": str(self.folder / "src"),
            # Nothing of it may reach an instance, and no setting of it exists.
            "STOCK_ASSETS_SOURCE": "yahoo",
        }

    def called(
        self, program: str, *words: str, cwd: Path | None = None, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self._bin / program), *words],
            cwd=cwd or self.folder,
            env={**self.environment, **more},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def said(self, program: str, *words: str, cwd: Path | None = None, **more: str) -> str:
        done = self.called(program, *words, cwd=cwd, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    @contextmanager
    def pages(self) -> Iterator[int]:
        """`dg dev`, with its daemon; the page's port."""
        port = free_port(28_000)
        with (self.home / "dev.log").open("wb") as log:
            process = subprocess.Popen(
                [str(self._bin / "dg"), "dev", "--port", str(port)],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            until("the page", lambda: page(f"http://127.0.0.1:{port}/server_info"))
            yield port
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)

    def forecasts(self, instance: str) -> pl.DataFrame:
        attributes = yaml.safe_load(instance)["attributes"]
        with read.open_dataset(instance_settings(attributes, self.folder)) as dataset:
            return dataset.forecasts()

    def models(self, name: str) -> list[tuple[str, int]]:
        """Every version that an instance's MLflow knows."""
        file = self.folder / ".stock_assets" / name / "var" / "mlflow" / "mlflow.db"
        with closing(sqlite3.connect(file)) as database:
            return database.execute("select name, version from model_versions").fetchall()


def environment(folder: Path) -> Path:
    """An environment that has the built wheel, and all else of the one that runs the tests."""
    venv.create(folder, with_pip=False)
    site = folder / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    wheels = folder / "wheels"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels)]
    subprocess.run([*pip, *build, str(CHECKOUT)], check=True, timeout=120)
    (wheel,) = wheels.iterdir()
    install = ["install", "--no-deps", "--no-index", "--target", str(site), str(wheel)]
    subprocess.run([*pip, *install], check=True, timeout=120)
    (site / "others.pth").write_text(f"{Path(pl.__file__).parents[1]}\n")
    scripts = Path(sys.executable).parent
    for program in ("dg", "dagster", "stock-assets"):
        _, _, code = (scripts / program).read_text().partition("\n")
        (folder / "bin" / program).write_text(f"#!{folder / 'bin' / 'python'}\n{code}")
        (folder / "bin" / program).chmod(0o755)
    return folder / "bin"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("somebody")
    (folder / "project").mkdir()
    return Project(folder / "project", environment(folder / "venv"))


def test_what_dg_scaffolds_is_sound_and_forecasts(project: Project):
    project.said("dg", "scaffold", "defs", "stock_assets.StockForecasts", "sp500")
    file = project.folder / "src/mine/defs/sp500/defs.yaml"
    assert len(file.read_text().splitlines()) <= 10
    assert "name: sp500" in file.read_text()
    assert "validated successfully" in project.said("dg", "check", "yaml")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    project.said("stock-assets", "--component", "sp500", "run", "--from", "2013-03-01")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Three minutes are promised. Most of it is computation, whose time other work does not change.
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 180
    newest = project.forecasts(file.read_text()).filter(pl.col("target_session") > date(2013, 3, 1))
    assert newest["ticker"].sort().to_list() == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert newest["model_version"].null_count() == newest["is_fallback"].sum() == 0
    status = json.loads(project.said("stock-assets", "--component", "sp500", "status", "--json"))
    assert status["dataset"] == "sp500"
    file.unlink()


@pytest.mark.parametrize(
    ("words", "more", "why"),
    [
        (
            ("--component", "sp501", "status"),
            {},
            "no stock_assets.StockForecasts of {folder} has the key prefix sp501; it has ",
        ),
        (("--component", "us", "status"), {"DAGSTER_HOME": ""}, "set DAGSTER_HOME to the folder"),
        (("--component", "us", "run", "--source", "yahoo"), {}, "--source: write another source"),
        (("--component", "us", "ui"), {}, "serves the pages of a checkout; your project has `dg"),
    ],
)
def test_a_command_says_what_it_can_not_do_for_a_component(
    project: Project, words: tuple[str, ...], more: dict[str, str], why: str
):
    project.write("us", US)
    done = project.called("stock-assets", *words, **more)
    assert done.returncode == 1
    assert why.format(folder=project.folder) in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.timeout(900)
def test_two_instances_forecast_beside_each_other(project: Project):
    project.write("us", US)
    project.write("week", WEEK)
    assert max(len(text.splitlines()) for text in (US, WEEK)) <= 10
    assert "All definitions loaded successfully" in project.said("dg", "check", "defs")
    listed = json.loads(project.said("dg", "list", "defs", "--json"))
    assert {job["name"] for job in listed["jobs"]} >= {"us_daily_job", "week_5_sessions_daily_job"}
    for name in NAMES:
        project.said("stock-assets", "--component", name, "run", "--from", LAST)
    us, week = issued = project.forecasts(US), project.forecasts(WEEK)
    project.said("dg", "launch", "--job", "us_daily_job", "--partition", LAST)
    assert project.forecasts(US).equals(us)
    # A click: one backfill of both datasets, which its daemon cuts into runs.
    with project.pages() as port:
        _backfilled(port, LAST)
    assert project.forecasts(US).equals(us)
    us, week = (one.filter(pl.col("as_of_session") == date.fromisoformat(LAST)) for one in issued)
    assert us["target_session"].unique().cast(str).to_list() == ["2013-03-04"]
    assert week["target_session"].unique().cast(str).to_list() == ["2013-03-08"]
    for one in (us, week):
        assert one["ticker"].sort().to_list() == ["AAPL", "IBM"]
    # Five sessions ahead is further than one.
    assert (
        (week["upper_95_usd"] - week["lower_95_usd"]) > (us["upper_95_usd"] - us["lower_95_usd"])
    ).all()
    folders = {path.name for path in (project.folder / ".stock_assets").iterdir()}
    assert folders >= {"us", "week"}
    for name, dataset in zip(("us", "week"), NAMES, strict=True):
        assert {model for model, _ in project.models(name)} == {f"stock_assets_{dataset}"}


def _backfilled(port: int, session: str) -> None:
    """A session of both datasets, as the page's button asks for it."""
    assets = [
        *([name, "raw_prices"] for name in NAMES),
        ["us", "features"],
        ["us", "daily_forecast"],
    ]
    given = {"partitionNames": [session], "assetSelection": [{"path": path} for path in assets]}
    launched = ask(port, LAUNCH, p=given)["launchPartitionBackfill"]

    def ended() -> Any:
        status = ask(port, BACKFILL, id=launched["backfillId"])["partitionBackfillOrError"]
        return status if status["status"].startswith(("COMPLETED", "FAILED")) else None

    backfill = until("the backfill's end", ended, seconds=300)
    assert backfill["status"] == "COMPLETED_SUCCESS"


def test_an_installed_package_runs_in_a_folder_that_init_made(project: Project, tmp_path: Path):
    (tmp_path / "workspace.yaml").write_text("load_from: []\n")
    own = {
        "DAGSTER_HOME": "",
        "STOCK_ASSETS_SOURCE": "sample",
        "STOCK_ASSETS_STORE_URI": f"file://{tmp_path}/objects",
    }
    said = project.said("stock-assets", "init", cwd=tmp_path, **own)
    assert said.splitlines() == [
        "workspace.yaml: is there, left as it is",
        "dagster.yaml: written",
        ".env.example: written",
    ]
    assert (tmp_path / "workspace.yaml").read_text() == "load_from: []\n"
    assert (tmp_path / "dagster.yaml").read_text() == (CHECKOUT / "dagster.yaml").read_text()
    said = project.said("stock-assets", "status", cwd=tmp_path, **own)
    assert said == "sample: nothing is stored yet; `stock-assets run` begins\n"
