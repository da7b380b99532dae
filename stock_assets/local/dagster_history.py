"""What Dagster keeps of old runs, cut down to what its pages, checks and our sensor still need.

Kept of every asset: the newest materialisation of each partition, every observation (they record
deliveries), the newest result of each check of each partition. It builds on the tables of Dagster's
event log, as `dagster_storage` does: Dagster deletes whole runs alone, materialisations included.
"""

import shutil
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import sqlalchemy as db

from stock_assets.local.dagster_private.storage import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)

_AT_ONCE = 500
_OVER = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Pruned:
    """How much of the history goes.

    `runs`: whose logs go. `forgotten`: those of them that go altogether, since nothing newest is
    theirs.
    """

    runs: int
    forgotten: int
    events: int


def prune_history(
    instance: dg.DagsterInstance, before: datetime, folder: Path, *, dry_run: bool
) -> Pruned:
    """Deletes what no one needs of the runs that were created before a moment and are over.

    Args:
        instance: On SQLite or PostgreSQL.
        before: With a time zone.
        folder: Of compute logs by run.
        dry_run: Counts alone.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=_OVER, created_before=before))
    old = [record.dagster_run.run_id for record in records]
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return Pruned(0, 0, 0)
    with storage.index_connection() as connection:
        events, checks = _superfluous(connection, set(old))
        needed = _runs_needed(connection, events, checks)
        if not dry_run:
            _delete(connection, SqlEventLogStorageTable, SqlEventLogStorageTable.c.id, events)
            _delete(connection, AssetEventTagsTable, AssetEventTagsTable.c.event_id, events)
            _delete(connection, AssetCheckExecutionsTable, AssetCheckExecutionsTable.c.id, checks)
    forgotten = [run_id for run_id in old if run_id not in needed]
    if not dry_run:
        for run_id in forgotten:
            instance.run_storage.delete_run(run_id)
        for run_id in old:
            if isinstance(storage, SqliteEventLogStorage):
                # Each run's log is a file of its own.
                path = Path(storage.path_for_shard(run_id))
                for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
                    file.unlink(missing_ok=True)
            shutil.rmtree(folder / run_id, ignore_errors=True)
    return Pruned(len(old), len(forgotten), len(events) + len(checks))


def _superfluous(connection: Any, old: set[str]) -> tuple[list[int], list[int]]:
    """Events and check results of old runs that something newer replaces, or that nobody reads."""
    log, check = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    made = dg.DagsterEventType.ASSET_MATERIALIZATION.value
    newest = {
        row[0]
        for row in connection.execute(
            db.select(db.func.max(log.id))
            .where(log.dagster_event_type == made)
            .group_by(log.asset_key, log.partition)
        )
    }
    newest_checks = {
        row[0]
        for row in connection.execute(
            db.select(db.func.max(check.id)).group_by(
                check.asset_key, check.check_name, check.partition
            )
        )
    }
    results = connection.execute(
        db.select(check.id, check.run_id, check.evaluation_event_storage_id)
    ).fetchall()
    shown = {storage_id for id_, _, storage_id in results if id_ in newest_checks}
    observed = dg.DagsterEventType.ASSET_OBSERVATION.value
    events = [
        id_
        for id_, run_id, kind in connection.execute(
            db.select(log.id, log.run_id, log.dagster_event_type)
        )
        if run_id in old and kind != observed and id_ not in newest and id_ not in shown
    ]
    return events, [i for i, run_id, _ in results if run_id in old and i not in newest_checks]


def _runs_needed(connection: Any, events: list[int], checks: list[int]) -> set[str]:
    """The runs of all that stays."""
    gone, gone_checks = set(events), set(checks)
    log, check = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
    stays = [r for i, r in connection.execute(db.select(log.id, log.run_id)) if i not in gone]
    shown = [
        r for i, r in connection.execute(db.select(check.id, check.run_id)) if i not in gone_checks
    ]
    return {*stays, *shown}


def _delete(connection: Any, table: Any, column: Any, ids: list[int]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        connection.execute(table.delete().where(column.in_(ids[start : start + _AT_ONCE])))


def shrink(databases: Iterable[Path]) -> None:
    """Gives the room of deleted rows back to the disk; SQLite keeps it otherwise."""
    for path in databases:
        if path.exists():
            with closing(sqlite3.connect(path, timeout=60)) as opened:
                opened.execute("vacuum")
                opened.execute("pragma wal_checkpoint(truncate)")
