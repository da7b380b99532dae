"""Five hundred runs: what is pruned of them, and what pages, checks and the sensor still see."""

import json
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from stock_assets.local.dagster_history import Pruned, prune_history, shrink
from stock_assets.partitions import range_tags

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2021-01-01")
KEYS = DAYS.get_partition_keys()
ROWS = dg.AssetKey("rows")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("sound", asset="rows")])
def rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    return dg.MaterializeResult(
        metadata={"key": context.partition_key},
        check_results=[dg.AssetCheckResult(check_name="sound", passed=True)],
    )


JOB = dg.Definitions(
    [rows], jobs=[dg.define_asset_job("rows_job", [rows], partitions_def=DAYS)]
).resolve_job_def("rows_job")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    storage = {
        "module": "stock_assets.local.dagster_storage",
        "class": "BatchingSqliteStorage",
        "config": {"base_dir": str(tmp_path / "storage")},
    }
    config = {"storage": {"custom": storage}, "telemetry": {"enabled": False}}
    (tmp_path / "dagster.yaml").write_text(json.dumps(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def run_once(instance: dg.DagsterInstance, key: str) -> str:
    return str(JOB.execute_in_process(instance=instance, tags=range_tags(key, key)).run_id)


def copies(folder: Path, run_id: str, key: str, keys: list[str], created: datetime) -> None:
    """A run's rows and log again for each key, as if it had run for that one."""
    history = folder / "storage" / "history"
    with (
        closing(sqlite3.connect(history / "runs" / "index.db")) as index,
        closing(sqlite3.connect(history / "runs.db")) as runs,
    ):
        for other in keys:
            new = str(uuid.uuid4())
            shutil.copy(history / "runs" / f"{run_id}.db", history / "runs" / f"{new}.db")

            def as_other(value: Any, new: str = new, other: str = other) -> Any:
                if not isinstance(value, str):
                    return value
                return value.replace(run_id, new).replace(key, other)

            ids = _copy(index, "event_logs", run_id, as_other)
            _copy(index, "asset_check_executions", run_id, as_other, ids)
            _copy(runs, "runs", run_id, as_other)
            runs.execute(
                "update runs set create_timestamp = ? where run_id = ?",
                [created.strftime("%Y-%m-%d %H:%M:%S.%f"), new],
            )
        index.commit()
        runs.commit()


def _copy(
    database: sqlite3.Connection,
    table: str,
    run_id: str,
    changed: Any,
    ids: dict[int, int] | None = None,
) -> dict[int, int]:
    found = database.execute(f"select * from {table} where run_id = ?", [run_id])  # noqa: S608
    names = [column[0] for column in found.description]
    made = {}
    for row in found.fetchall():
        value = {name: changed(v) for name, v in zip(names, row, strict=True)}
        old = value.pop("id")
        if ids:
            value["evaluation_event_storage_id"] = ids.get(value["evaluation_event_storage_id"])
        marks = ", ".join("?" * len(value))
        into = f"insert into {table} ({', '.join(value)}) values ({marks})"  # noqa: S608
        made[old] = database.execute(into, list(value.values())).lastrowid
    return made


def seen(instance: dg.DagsterInstance) -> dict[str, Any]:
    """What pages, checks and the sensor ask for."""
    log = instance.event_log_storage
    newest = dg.DagsterEventType.ASSET_MATERIALIZATION
    check = dg.AssetCheckKey(ROWS, "sound")
    latest = log.get_latest_asset_check_execution_by_key([check])[check]
    observed = instance.fetch_observations(ROWS, limit=1000).records
    made = instance.fetch_materializations(ROWS, limit=1).records
    return {
        "partitions": instance.get_materialized_partitions(ROWS),
        "newest": log.get_latest_storage_id_by_partition(ROWS, newest),
        "check": (latest.id, latest.status),
        "observed": [record.partition_key for record in observed],
        "cursor": made[0].storage_id,
    }


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in (folder / "storage").rglob("*") if file.is_file())


def prune(instance: dg.DagsterInstance, folder: Path, *, dry_run: bool = False) -> Pruned:
    found = prune_history(
        instance, NOW - timedelta(days=90), folder / "compute_logs", dry_run=dry_run
    )
    history = folder / "storage" / "history"
    shrink([history / "runs" / "index.db", history / "runs.db"])
    return found


def test_the_size_is_bounded_and_the_page_sees_what_it_saw(
    instance: dg.DagsterInstance, tmp_path: Path
):
    instance.report_runless_asset_event(dg.AssetObservation(ROWS, partition=KEYS[7]))
    template = run_once(instance, KEYS[0])
    long_ago = NOW - timedelta(days=200)
    # Each of 250 sessions twice: half of the runs made nothing that is still the newest.
    copies(tmp_path, template, KEYS[0], [*KEYS[1:251], *KEYS[1:251]], long_ago)
    recent = run_once(instance, KEYS[300])
    before, grown = seen(instance), size(tmp_path)
    assert before["partitions"] == {*KEYS[:251], KEYS[300]}
    would = prune(instance, tmp_path, dry_run=True)
    assert (would.runs, would.forgotten) == (500, 250)
    assert seen(instance) == before
    assert prune(instance, tmp_path) == would
    assert seen(instance) == before
    left = size(tmp_path)
    assert left < grown / 20
    # The log of a run that is not old is there, and a second round finds nothing more.
    assert instance.all_logs(recent)
    assert prune(instance, tmp_path) == Pruned(250, 0, 0)
    # The same sessions once more: five hundred runs later it is as large as before.
    copies(tmp_path, template, KEYS[0], [*KEYS[1:251], *KEYS[1:251]], long_ago)
    prune(instance, tmp_path)
    assert size(tmp_path) == pytest.approx(left, rel=0.05)
    assert seen(instance)["partitions"] == before["partitions"]
    # Events go on after those that were deleted: a cursor of before sees what comes.
    run_once(instance, KEYS[301])
    news = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=ROWS, after_storage_id=before["cursor"]), limit=1000
    ).records
    assert KEYS[301] in [record.partition_key for record in news]
