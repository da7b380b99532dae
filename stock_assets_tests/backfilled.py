"""A backfill in processes of its own, and what two backfills must have in common."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from stock_assets.asset_keys import asset_key
from stock_assets.backfill.project import open_project
from stock_assets.planning.stamp import STAMP_FIELD
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.settings import Settings
from stock_assets_tests.conftest import CHECKOUT

STORED_ASSETS = ("raw_prices", "features", "train_set", "test_set", "tuned_model",
                 "registered_version", "daily_forecast", "forecast_rmse")  # fmt: skip

# Imports cost more than a small backfill: they are paid once, and each backfill is a fork.
_NURSERY = """
import os, sys, traceback
from datetime import date
import mlflow, sklearn.ensemble, skops.io, dagster_mlflow, scipy.special  # noqa
from stock_assets.backfill.project import open_project
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
import stock_assets.assets.studies, stock_assets.forecasting.forecast
from stock_assets.backfill.project import open_project
from stock_assets.backfill.execution import bring_up_to_date
from stock_assets.backfill.progress import Progress
from stock_assets.settings import Settings
print("ready", flush=True)
for line in sys.stdin:
    first, last, settings = line.strip().split(" ", 2)
    child = os.fork()
    if child:
        print(child, flush=True)
        continue
    code = 1
    try:
        with open_project(Settings.model_validate_json(settings)) as project:
            wanted = project.range_of(date.fromisoformat(first), date.fromisoformat(last))
            bring_up_to_date(project, wanted.wanted(), Progress())
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)
"""


@dataclass
class Nursery:
    """A process that forks backfills."""

    process: subprocess.Popen[str]

    def start(self, settings: Settings, first: str, last: str) -> int:
        """Begins a backfill; the number of its process."""
        assert self.process.stdin
        assert self.process.stdout
        print(first, last, settings.model_dump_json(), file=self.process.stdin, flush=True)
        return int(self.process.stdout.readline())

    def wait(self, pid: int, seconds: float = 300) -> float:
        """Until the process is gone; the seconds that took."""
        start = time.monotonic()
        while _lives(pid):
            assert time.monotonic() - start < seconds
            time.sleep(0.01)
        return time.monotonic() - start


def _lives(pid: int) -> bool:
    try:
        # A dead child that its parent has not looked at is a zombie.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@contextmanager
def nursery(folder: Path) -> Iterator[Nursery]:
    with (folder / "nursery.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", _NURSERY],
            cwd=folder,
            env={
                **os.environ,
                "PYTHONPATH": str(CHECKOUT),
                # As the command line has it: one transaction for many events.
                "DAGSTER_EVENT_BATCH_SIZE": "500",
                # As the project does before it imports MLflow.
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    assert process.stdout
    try:
        assert process.stdout.readline() == "ready\n", (folder / "nursery.log").read_text()
        yield Nursery(process)
    finally:
        process.kill()
        process.communicate()


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def comparable(settings: Settings) -> dict[str, Any]:
    """All that a backfill leaves, without what differs between two like ones: times and run ids.

    Objects by what they hold; prices without the time of their fetch. The registry as month,
    fingerprint and approval of each version.
    """
    with open_project(settings) as project:
        keys = [key for asset in STORED_ASSETS for key in project.store.keys(asset)]
        found: dict[str, Any] = dict(zip(keys, project.store.get_many(keys), strict=True))
        for key, value in found.items():
            if key.startswith("raw_prices"):
                found[key] = (
                    pl.read_parquet(io.BytesIO(value))
                    .drop("fetched_at", "first_fetched_at")
                    .to_dicts()
                )
            elif key.endswith(".json"):
                found[key] = json.loads(value, object_hook=_without_run_ids)
            else:
                found[key] = without_stamp(value)
        registry = ModelRegistry(settings, project.store)
        with registry.tracking.client():
            found["registry"] = [
                (v.version, v.tags["month"], v.tags["fingerprint"], v.tags["gate"])
                for v in sorted(_versions(registry), key=lambda v: v.version)
            ]
    return found


def without_stamp(content: bytes) -> bytes:
    """A stored Parquet file as one that says nothing of what made it."""
    plain = io.BytesIO()
    pl.read_parquet(io.BytesIO(content)).write_parquet(plain)
    return plain.getvalue()


def _without_run_ids(value: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in value.items() if not k.startswith("mlflow_") and k != STAMP_FIELD}


def _versions(registry: ModelRegistry) -> list[Any]:
    with registry.opened() as registered:
        return registered.every()


def assert_nothing_twice_or_open(settings: Settings) -> None:
    """One finished MLflow run a training, the one its version was made of; no run under way."""
    with open_project(settings) as project:
        registry = ModelRegistry(settings, project.store)
        with registry.tracking.client() as client:
            experiment = client.get_experiment_by_name(registry.tracking.experiment)
            runs = client.search_runs([experiment.experiment_id], max_results=1000)
        assert [r.info.run_id for r in runs if r.info.status == "RUNNING"] == []
        finished = [r for r in runs if r.info.status == "FINISHED" and "fingerprint" in r.data.tags]
        trained = Counter(r.data.tags["fingerprint"] for r in finished)
        assert set(trained.values()) == {1}
        assert {v.run_id for v in _versions(registry)} == {r.info.run_id for r in finished}
        for key in project.store.keys("tuned_model"):
            study = json.loads(project.store.get(key))
            version = json.loads(
                project.store.get(key.replace("tuned_model", "registered_version"))
            )
            assert version["mlflow_run_id"] == study["mlflow_run_id"]
        assert [r.run_id for r in project.instance.get_runs() if not r.is_finished] == []
        for asset in STORED_ASSETS:
            known = project.instance.get_materialized_partitions(
                asset_key(settings.dataset_name, asset)
            )
            assert known == stored_partitions(project.store, asset).keys(), asset
