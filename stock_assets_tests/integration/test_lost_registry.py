"""MLflow's database and files, lost or damaged: a run mends them, and all is as before."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from stock_assets.automation.jobs import MONTHLY_ASSETS, MONTHLY_JOB
from stock_assets.backfill.project import open_project, run_partitions
from stock_assets.commands.doctor import diagnose
from stock_assets.commands.mend import mend
from stock_assets.errors import DamagedStudyError, RegistryError
from stock_assets.forecasting.promotion import PARTS
from stock_assets.market.sessions import load_calendar
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import open_store
from stock_assets.resources.stored_values import put_values
from stock_assets.settings import Settings
from stock_assets_tests.backfilled import Nursery, comparable, nursery
from stock_assets_tests.conftest import QUICK, make_home
from stock_assets_tests.simulated_prices import Law, simulated_bars

FIRST, LAST = "2012-01-27", "2012-02-06"


@dataclass
class Kept:
    """A home as an undisturbed backfill left it, put back before each test."""

    settings: Settings
    copy: Path
    nursery: Nursery
    left: dict[str, Any]

    @property
    def database(self) -> Path:
        return self.settings.state_folder / "mlflow" / "mlflow.db"

    @property
    def objects(self) -> Path:
        return self.settings.home / "objects" / "same"

    def put_back(self) -> None:
        shutil.rmtree(self.settings.home)
        shutil.copytree(self.copy, self.settings.home)

    def run(self) -> str:
        """What a run in a process of its own says."""
        log = self.copy.parent / "nursery.log"
        before = len(log.read_text())
        self.nursery.wait(self.nursery.start(self.settings, FIRST, LAST))
        said = log.read_text()[before:]
        assert "Traceback" not in said, said
        return said

    def value(self, asset: str, month: str) -> dict[str, Any]:
        return json.loads((self.objects / asset / f"month={month}" / "value.json").read_text())

    def registry_finding(self) -> tuple[bool, str]:
        (found,) = [f for f in diagnose(self.settings) if f.part == "registry"]
        return found.ok, found.detail


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    folder = tmp_path_factory.mktemp("lost")
    bars = simulated_bars(load_calendar("XNYS"), "2011-07-01", 160, 3, 3, Law(signal=0.4))
    bars.write_parquet(folder / "prices.parquet")
    home = make_home(folder / "home")
    settings = Settings(
        home=home,
        store_uri=f"file://{home / 'objects'}",
        source="files",
        files_uri=str(folder / "prices.parquet"),
        dataset="same",
        **QUICK
        | {
            "train_months": 3,
            "min_train_sessions": 30,
            "model_family": "ridge",
            "gate_margin": 0.5,
        },
    )
    with nursery(folder) as forks:
        forks.wait(forks.start(settings, FIRST, LAST))
        shutil.copytree(home, folder / "copy")
        left = comparable(settings)
        assert [(n, month) for n, month, _, _ in left["registry"]] == [
            (1, "2012-01"),
            (2, "2012-02"),
        ]
        yield Kept(settings, folder / "copy", forks, left)


@pytest.fixture
def kept(made: Kept) -> Kept:
    made.put_back()
    return made


def model_file(kept: Kept, month: str) -> Path:
    of_model = kept.value("tuned_model", month)["mlflow_model_id"]
    return kept.objects / "mlflow" / "models" / of_model / "artifacts" / "model.skops"


def run_file(kept: Kept, month: str, name: str) -> Path:
    of_run = kept.value("tuned_model", month)["mlflow_run_id"]
    return kept.objects / "mlflow" / of_run / "artifacts" / name


def test_versions_of_a_lost_registry_get_their_numbers_again(kept: Kept):
    kept.database.unlink()
    said = kept.run()
    assert "models     MLflow's registry lacks versions 1, 2 of stock_assets_same" in said
    assert "training   " not in said
    assert comparable(kept.settings) == kept.left


def retrain(kept: Kept, month: str, through: str) -> None:
    config = {asset: {"train_through": through} for asset in ("train_set", "test_set")}
    with open_project(kept.settings) as project:
        run_partitions(project, MONTHLY_JOB, MONTHLY_ASSETS, [month], [month], 1, config)


def test_a_month_trained_again_gets_both_of_its_versions_back(kept: Kept):
    retrain(kept, "2012-02", "2012-02-02")
    kept.run()  # the sessions after it are forecast by another version now
    before = comparable(kept.settings)
    assert [(n, month) for n, month, _, _ in before["registry"]] == [
        (1, "2012-01"),
        (2, "2012-02"),
        (3, "2012-02"),
    ]
    value = kept.value("registered_version", "2012-02")
    january, earlier = kept.value("registered_version", "2012-01"), value["earlier"]
    assert (value["version"], earlier["version"]) == (3, 2)
    assert january["held_against"] == {"point": None, "intervals": None}
    assert earlier["held_against"] == dict.fromkeys(PARTS, january["fingerprint"])
    assert value["held_against"] == dict.fromkeys(PARTS, earlier["fingerprint"])
    kept.database.unlink()
    assert "lacks 3 stored versions" in kept.registry_finding()[1]
    assert "lacks versions 1, 2, 3 of" in kept.run()
    assert comparable(kept.settings) == before
    assert kept.registry_finding()[0]
    # Killed after the first of them had its run again, before that was stored.
    moved = kept.value("registered_version", "2012-02")
    assert moved["earlier"]["mlflow_run_id"] != value["earlier"]["mlflow_run_id"]
    with open_store(kept.settings) as store:
        put_values(store, {"registered_version/month=2012-02/value.json": value})
    kept.run()
    assert kept.value("registered_version", "2012-02") == moved
    assert comparable(kept.settings) == before


def test_a_lost_version_whose_files_are_gone_too_is_made_again_with_another_number(kept: Kept):
    kept.database.unlink()
    model_file(kept, "2012-01").unlink()
    said = kept.run()
    assert "2012-01: the files of these studies are gone too" in said
    left = comparable(kept.settings)
    assert [(n, month) for n, month, _, _ in left["registry"]] == [(2, "2012-02"), (3, "2012-01")]
    assert kept.value("registered_version", "2012-01")["version"] == 3
    assert kept.value("registered_version", "2012-02")["version"] == 2


def test_until_a_run_has_mended_it_a_lost_registry_serves_nobody(kept: Kept):
    kept.database.unlink()
    lacks = (
        "MLflow's registry lacks 2 stored versions of stock_assets_same (1, 2): its database was"
        " lost or replaced; `stock-assets run` registers them again"
    )
    assert kept.registry_finding() == (False, lacks)
    with open_store(kept.settings) as store:
        registry = ModelRegistry(kept.settings, store)
        with pytest.raises(RegistryError) as refused:
            registry.refuse_lost(through="2012-02")
        assert str(refused.value) == lacks
        registry.refuse_lost(through="2011-12")  # a session before all of them needs none


def damage(file: Path, how: str) -> None:
    content = file.read_bytes()
    if how == "gone":
        file.unlink()
    elif how == "flipped":
        middle = len(content) // 2
        file.write_bytes(content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1 :])
    else:
        file.write_bytes({"cut": content[: len(content) // 2], "empty": b""}[how])


@pytest.mark.parametrize("how", ["gone", "flipped", "cut", "empty"])
@pytest.mark.parametrize("name", ["model.skops", "intervals.json"])
def test_a_damaged_file_of_a_version_is_named(kept: Kept, name: str, how: str):
    file = model_file(kept, "2012-02") if name == "model.skops" else run_file(kept, "2012-02", name)
    damage(file, how)
    run_id = kept.value("tuned_model", "2012-02")["mlflow_run_id"]
    with open_store(kept.settings) as store:
        registry = ModelRegistry(kept.settings, store)
        (version,) = [v for v in registry.versions() if v.version == 2]
        with pytest.raises(DamagedStudyError) as refused:
            registry.load(version)
    said = "is gone" if how == "gone" else "is not what was stored"
    line = (
        f"stock_assets_same version 2 can't be read: MLflow run {run_id} of 2012-02: {name} {said};"
        " `stock-assets mend` trains 2012-02 again"
    )
    assert str(refused.value) == line
    assert kept.registry_finding() == (False, line)


def test_mend_trains_again_what_no_run_reads(kept: Kept):
    damage(run_file(kept, "2012-01", "intervals.json"), "cut")
    assert not kept.registry_finding()[0]
    mend(kept.settings)
    assert kept.registry_finding()[0]
    kept.run()
    assert comparable(kept.settings) == kept.left


def test_a_run_mends_the_models_that_it_needs_and_changes_nothing(kept: Kept):
    damage(model_file(kept, "2012-02"), "flipped")
    damage(run_file(kept, "2012-02", "study.json"), "gone")
    for session in ("2012-01-30", "2012-02-03"):
        shutil.rmtree(kept.objects / "daily_forecast" / f"session={session}")
    said = kept.run()
    assert "model.skops is not what was stored; training 2012-02 again" in said
    assert comparable(kept.settings) == kept.left
    assert "training   " not in kept.run()


@pytest.mark.parametrize("how", ["garbage", "locked"])
def test_a_database_that_cannot_be_used_is_named_with_what_mends_it(
    kept: Kept, how: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("stock_assets.local.sqlite_files._LOCK_SECONDS", 1.0)
    if how == "garbage":
        kept.database.write_bytes(b"no database at all, " * 500)
        ok, said = kept.registry_finding()
        assert (ok, said) == (
            False,
            f"{kept.database} can't be used: file is not a database; `mv {kept.database}"
            f" {kept.database}.damaged-1` and `stock-assets run`, which registers the stored"
            " versions again",
        )
        kept.database.rename(f"{kept.database}.damaged-1")
        kept.run()
        assert comparable(kept.settings) == kept.left
    else:
        with sqlite3.connect(kept.database) as other:
            other.execute("begin exclusive")
            ok, said = kept.registry_finding()
        assert not ok
        assert said.startswith(f"{kept.database} is locked by another process (")
        assert f"pid {os.getpid()}" in said
        assert said.endswith(" for more than 1 s; end that process, or wait, and run again")
        assert kept.registry_finding()[0]
