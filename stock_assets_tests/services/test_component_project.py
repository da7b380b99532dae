"""The built wheel in a fresh project of somebody else, offline: two instances beside each other.

Everything goes through commands of Dagster and processes of its own, as it does for that somebody.
"""

import json
import os
import resource
import sqlite3
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import polars as pl
import pytest
import yaml

from stock_assets import read
from stock_assets.component import instance_settings
from stock_assets_tests.conftest import CHECKOUT

LAST = "2013-03-01"
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
FILL = """
import dagster as dg
from mine.definitions import defs

NAMES = ("us", "week_5_sessions")
loaded = defs()


def made(job, assets, first, last):
    loaded.resolve_job_def(job).execute_in_process(
        instance=instance,
        asset_selection=[dg.AssetKey(asset.split("/")) for asset in assets],
        tags={
            "dagster/asset_partition_range_start": first,
            "dagster/asset_partition_range_end": last,
        },
    )


with dg.DagsterInstance.ephemeral() as instance:  # a third of the CPU per partition
    for name in NAMES:
        prices, features = f"{name}/raw_prices", f"{name}/features"
        made(f"{name}_daily_job", [prices, features], "2012-09-17", "2013-02-28")
        models = ("train_set", "test_set", "tuned_model", "registered_version")
        made(f"{name}_monthly_job", [f"{name}/{model}" for model in models], "2013-03", "2013-03")
    # And one run of both datasets, as the page starts it where both are selected.
    daily = ("raw_prices", "features", "daily_forecast")
    both = [f"{name}/{asset}" for name in NAMES for asset in daily]
    made("__ASSET_JOB", both, "2013-03-01", "2013-03-01")
"""
"""What backfills do with some clicks, without a daemon."""


class Project:
    """A project as `create-dagster` lays it out, and the environment that it is installed in."""

    def __init__(self, folder: Path, bin_folder: Path) -> None:
        self.folder, self._bin = folder, bin_folder
        self.home = folder.parent / "dagster_home"
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
        for name, text in PROJECT.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    def write(self, instance: str, text: str) -> None:
        file = self.folder / "src" / "mine" / "defs" / instance / "defs.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def said(self, program: str, *words: str, cwd: Path | None = None, **more: str) -> str:
        done = subprocess.run(
            [str(self._bin / program), *words],
            cwd=cwd or self.folder,
            env={
                **os.environ,
                "DAGSTER_HOME": str(self.home),
                "HOME": str(self.home),
                "PATH": os.pathsep.join((str(self._bin), os.environ["PATH"])),
                "PYTHONPATH": str(self.folder / "src"),
                # Nothing of it may reach an instance, and no setting of it exists.
                "STOCK_ASSETS_SOURCE": "yahoo",
                **more,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=180,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

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


def test_what_dg_scaffolds_is_sound(project: Project):
    project.said("dg", "scaffold", "defs", "stock_assets.StockForecasts", "sp500")
    file = project.folder / "src/mine/defs/sp500/defs.yaml"
    assert len(file.read_text().splitlines()) <= 10
    assert "name: sp500" in file.read_text()
    assert "validated successfully" in project.said("dg", "check", "yaml")
    file.unlink()


@pytest.mark.timeout(400)
def test_two_instances_forecast_beside_each_other(project: Project):
    project.write("us", US)
    project.write("week", WEEK)
    assert max(len(text.splitlines()) for text in (US, WEEK)) <= 10
    assert "All definitions loaded successfully" in project.said("dg", "check", "defs")
    listed = json.loads(project.said("dg", "list", "defs", "--json"))
    assert {job["name"] for job in listed["jobs"]} >= {"us_daily_job", "week_5_sessions_daily_job"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    project.said("python", "-W", "ignore", "-c", FILL)
    issued = project.forecasts(US)
    project.said("dg", "launch", "--job", "us_daily_job", "--partition", LAST)
    assert project.forecasts(US).equals(issued)
    # Of CPU: a busy machine does not fail it.
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 180
    us, week = project.forecasts(US), project.forecasts(WEEK)
    assert us["target_session"].unique().cast(str).to_list() == ["2013-03-04"]
    assert week["target_session"].unique().cast(str).to_list() == ["2013-03-08"]
    for one in (us, week):
        assert one["ticker"].sort().to_list() == ["AAPL", "IBM"]
    # Five sessions ahead is further than one.
    assert (
        (week["upper_95_usd"] - week["lower_95_usd"]) > (us["upper_95_usd"] - us["lower_95_usd"])
    ).all()
    assert sorted(path.name for path in (project.folder / ".stock_assets").iterdir()) == [
        "us",
        "week",
    ]
    for name, dataset in (("us", "us"), ("week", "week_5_sessions")):
        assert project.models(name) == [(f"stock_assets_{dataset}", 1)]


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
