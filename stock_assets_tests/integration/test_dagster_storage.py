"""Batches of events in one transaction hold what Dagster's own storage would hold."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._serdes import serialize_value
from sqlalchemy.engine import Engine

from stock_assets.local.dagster_storage import BatchingSqliteEventLogStorage
from stock_assets.partitions import range_tags

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-03-01")
KEYS = DAYS.get_partition_keys()
OWN, BATCHING = "own", "batching"


@contextmanager
def instance(folder: Path, storage: str) -> Iterator[dg.DagsterInstance]:
    config: dict[str, Any] = {"base_dir": str(folder / "storage")}
    chosen = {
        OWN: {"sqlite": config},
        BATCHING: {
            "custom": {
                "module": "stock_assets.local.dagster_storage",
                "class": "BatchingSqliteStorage",
                "config": config,
            }
        },
    }[storage]
    folder.mkdir(exist_ok=True)
    (folder / "dagster.yaml").write_text(
        json.dumps({"storage": chosen, "telemetry": {"enabled": False}})
    )
    with dg.DagsterInstance.from_config(str(folder)) as opened:
        yield opened


def materialise(opened: dg.DagsterInstance, *, fails: bool = False) -> str:
    """Sixty partitions with a check in one run, and one more partition in another."""

    @dg.asset(
        partitions_def=DAYS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=[dg.AssetCheckSpec("sound", asset="rows")],
    )
    def rows(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        if fails:
            raise ValueError("on purpose")
        return dg.MaterializeResult(
            metadata={"keys": len(context.partition_keys)},
            check_results=[dg.AssetCheckResult(check_name="sound", passed=True)],
        )

    job = dg.Definitions(
        [rows], jobs=[dg.define_asset_job("rows_job", [rows], partitions_def=DAYS)]
    ).resolve_job_def("rows_job")
    first = job.execute_in_process(
        instance=opened, tags=range_tags(KEYS[0], KEYS[-1]), raise_on_error=not fails
    )
    if not fails:
        job.execute_in_process(instance=opened, partition_key=KEYS[3])
    return str(first.run_id)


def seen(opened: dg.DagsterInstance, run_id: str) -> dict[str, Any]:
    """What the page shows: the run's events, the asset's partitions, the checks."""
    key = dg.AssetKey("rows")
    materialisations = opened.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key), limit=1000, ascending=True
    ).records
    checks = opened.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(key, "sound"), limit=1000
    )
    latest = opened.get_latest_materialization_event(key)
    assert latest
    assert latest.asset_materialization
    [record] = opened.get_asset_records([key])
    entry = record.asset_entry
    return {
        # The asset's own row: of the last run, and the last event that is in it.
        "last_run": entry.last_run_id == latest.run_id,
        "last_storage_id": entry.last_materialization_storage_id,
        "last_event": entry.last_materialization == latest,
        "last_at": _row(opened)["last_materialization_timestamp"] is not None,
        "events": [
            (log.dagster_event_type, log.get_dagster_event().partition)
            for log in opened.all_logs(run_id)
            if log.is_dagster_event
        ],
        "planned_and_made": opened.get_materialized_partitions(key),
        "materialisations": [record.partition_key for record in materialisations],
        "tags": [record.asset_materialization.tags.keys() for record in materialisations],
        "checks": sorted((str(check.partition), check.status) for check in checks),
        "latest": latest
        and latest.asset_materialization
        and latest.asset_materialization.partition,
    }


def _row(opened: dg.DagsterInstance) -> dict[str, Any]:
    """The asset's row as it is."""
    with opened.event_log_storage.index_connection() as connection:
        return dict(
            connection.execute(sqlalchemy.text("select * from asset_keys")).mappings().one()
        )


def test_a_batch_leaves_the_events_that_dagsters_own_storage_leaves(tmp_path: Path):
    found = {}
    for storage in (OWN, BATCHING):
        with instance(tmp_path / storage, storage) as opened:
            found[storage] = seen(opened, materialise(opened))
    checks = {storage: seen.pop("checks") for storage, seen in found.items()}
    assert found[BATCHING] == found[OWN]
    assert found[BATCHING]["planned_and_made"] == set(KEYS)
    assert found[BATCHING]["materialisations"] == [*KEYS, KEYS[3]]
    assert found[BATCHING]["latest"] == KEYS[3]
    # A result of each run. Dagster's own has besides a row per key that no result ever reaches.
    done = ("None", AssetCheckExecutionRecordStatus.SUCCEEDED)
    assert checks[BATCHING] == [done] * 2
    planned = [(key, AssetCheckExecutionRecordStatus.PLANNED) for key in [*KEYS, KEYS[3]]]
    assert checks[OWN] == sorted([done, done, *planned])


def test_checks_of_a_failed_run_are_known_as_not_executed(tmp_path: Path):
    found, texts = {}, {}
    for storage in (OWN, BATCHING):
        with instance(tmp_path / storage, storage) as opened:
            run_id = materialise(opened, fails=True)
            checks = opened.event_log_storage.get_asset_check_execution_history(
                dg.AssetCheckKey(dg.AssetKey("rows"), "sound"), limit=1000
            )
            found[storage] = sorted(
                (str(record.partition), record.run_id == run_id, record.status) for record in checks
            )
            texts[storage] = {len(serialize_value(record.event)) for record in checks}
    planned = AssetCheckExecutionRecordStatus.PLANNED
    assert found[OWN] == [(key, True, planned) for key in KEYS]
    assert found[BATCHING] == [("None", True, planned)]
    # A row of Dagster's own names all partitions of the run.
    assert max(texts[BATCHING]) < min(texts[OWN])


def test_dagster_reads_the_files_without_this_class(tmp_path: Path):
    with instance(tmp_path, BATCHING) as opened:
        run_id = materialise(opened)
        batched = seen(opened, run_id)
    with instance(tmp_path, OWN) as opened:
        assert seen(opened, run_id) == batched
        assert type(opened.event_log_storage) is SqliteEventLogStorage


def test_a_batch_opens_each_database_once(tmp_path: Path):
    def connections(storage: str) -> int:
        count = [0]

        def connected(*_: Any) -> None:
            count[0] += 1

        with instance(tmp_path / storage, storage) as opened:
            sqlalchemy.event.listen(Engine, "connect", connected)
            try:
                materialise(opened)
            finally:
                sqlalchemy.event.remove(Engine, "connect", connected)
        return count[0]

    assert connections(BATCHING) < connections(OWN) / 3


def test_a_batch_that_fails_is_written_one_by_one_and_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store = BatchingSqliteEventLogStorage._store_asset_event
    calls = iter(range(10_000))

    def failing(self: Any, *args: Any) -> None:
        if next(calls) == 40:
            raise sqlalchemy.exc.OperationalError("disk", None, Exception("full"))
        store(self, *args)

    monkeypatch.setattr(BatchingSqliteEventLogStorage, "_store_asset_event", failing)
    with instance(tmp_path, BATCHING) as opened:
        found = seen(opened, materialise(opened))
    assert found["materialisations"] == [*KEYS, KEYS[3]]
    planned = [event for event in found["events"] if event[0].name.endswith("ION_PLANNED")]
    made = [event for event in found["events"] if event[0].name == "ASSET_MATERIALIZATION"]
    assert [partition for _, partition in made] == KEYS
    assert len(planned) == len(set(planned))
