"""Dagster's SQLite storage, with each batch of events written in one transaction.

Dagster batches the events of a run's partitions (DAGSTER_EVENT_BATCH_SIZE), but its SQLite storage
writes a batch event by event, and each event opens four connections with an engine of their own:
statements are compiled anew, and every one waits for the disk. Here a batch opens the run's and the
cross-run database once. Tables and files are Dagster's own: without this class, Dagster reads them
as ever.

A batch that can't be written leaves nothing of itself in a database, and Dagster then writes its
events one by one. A kill loses the batch under way, whose objects are stored; the next command
reports them (`backfill.killed`).
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import sqlalchemy as db
from dagster import EventLogEntry, serialize_value
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.pool import NullPool

from stock_assets.local.dagster_private.runs import (
    AssetCheckEvaluationPlanned,
    AssetCheckExecutionRecordStatus,
    ConfigurableClassData,
)
from stock_assets.local.dagster_private.storage import (
    ASSET_EVENTS,
    INDEX_SHARD_NAME,
    SQLITE_BUSY_TIMEOUT_SECONDS,
    AssetCheckExecutionsTable,
    DagsterSqliteStorage,
    SqlEventLogStorage,
    SqlEventLogStorageTable,
    SqliteEventLogStorage,
)
from stock_assets.local.own_folder import own_folder, writable_state


class FewerRows(SqlEventLogStorage):
    """An event log that plans one row for a run's check, and writes an asset's once a batch."""

    def _store_asset_check_evaluation_planned(
        self, event: EventLogEntry, event_id: int | None
    ) -> None:
        """One row a run and check: that of the result to come.

        Dagster plans a row per partition, though a result is of the run and names none: its row was
        added beside those, and they stood on the page as never executed for ever, 250 for each
        check of a backfill's run. The event, which names the partitions with their definition and
        all its holidays, stays whole in the run's log.
        """
        dagster_event = event.get_dagster_event()
        planned = cast("AssetCheckEvaluationPlanned", dagster_event.event_specific_data)
        of_a_row = AssetCheckEvaluationPlanned(
            asset_key=planned.asset_key, check_name=planned.check_name
        )
        short = event._replace(dagster_event=dagster_event._replace(event_specific_data=of_a_row))
        row = {
            "asset_key": planned.asset_key.to_string(),
            "check_name": planned.check_name,
            "run_id": event.run_id,
            "execution_status": AssetCheckExecutionRecordStatus.PLANNED.value,
            "evaluation_event": serialize_value(short),
            "evaluation_event_timestamp": self._event_insert_timestamp(event),  # type: ignore[no-untyped-call]
            "evaluation_event_storage_id": event_id,
        }
        with self.index_connection() as connection:
            connection.execute(AssetCheckExecutionsTable.insert(), row)

    def _store_newest(
        self, connection: Connection, events: Sequence[EventLogEntry], event_ids: Sequence[int]
    ) -> None:
        """The assets' own rows, which say what happened last.

        Dagster writes an asset's anew for each event, with the event in it: of a batch's two
        thousand writings three or four are left. Each kind of event sets fields of its own, so of
        each kind the last one counts.
        """
        newest: dict[Any, tuple[EventLogEntry, int]] = {}
        for event, event_id in zip(events, event_ids, strict=True):
            dagster_event = event.get_dagster_event()
            of = dagster_event.asset_key, dagster_event.event_type_value
            newest.pop(of, None)  # in the order of the last ones
            newest[of] = event, event_id
        for event, event_id in newest.values():
            self._store_asset_event(connection, event, event_id)


class BatchingSqliteEventLogStorage(FewerRows, SqliteEventLogStorage):
    """One connection and transaction per database for a batch of events."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        # Of the thread that writes a batch; every other one connects as Dagster does.
        self._batch = threading.local()
        self._engines: dict[str, Engine] = {}
        self._tables: set[str] = set()
        super().__init__(base_dir, inst_data)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        with ExitStack() as stack:
            self._batch.connections = {}
            self._batch.stack = stack
            stack.callback(self._batch.__dict__.clear)
            kinds: dict[bool, list[EventLogEntry]] = {True: [], False: []}
            for event in events:
                kinds[event.dagster_event_type in ASSET_EVENTS].append(event)
            self._store_asset_events(kinds[True])
            super().store_event_batch(kinds[False])  # of checks: few

    def _store_asset_events(self, events: Sequence[EventLogEntry]) -> None:
        """Events of one run, of its log and of the assets' history, by one statement each."""
        if not events:
            return
        rows = [self._event_to_row(event) for event in events]
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(SqlEventLogStorageTable.insert(), rows)
        numbers = SqlEventLogStorageTable.c.id
        insert = SqlEventLogStorageTable.insert().returning(numbers, sort_by_parameter_order=True)
        with self.index_connection() as connection:
            event_ids = connection.execute(insert, rows).scalars().all()
            self._store_asset_event_tags(connection, events, event_ids)
            self._store_newest(connection, events, event_ids)

    def run_connection(self, run_id: str | None = None) -> AbstractContextManager[Connection]:
        return self._of_batch(str(run_id)) or super().run_connection(run_id)

    def index_connection(self) -> AbstractContextManager[Connection]:
        return self._of_batch(INDEX_SHARD_NAME) or super().index_connection()

    def has_table(self, table_name: str) -> bool:
        # Asked once per event; a table that is there stays.
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def _of_batch(self, shard: str) -> AbstractContextManager[Connection] | None:
        """The batch's connection to a database; None outside of one."""
        connections: dict[str, Connection] | None = getattr(self._batch, "connections", None)
        if connections is None:
            return None
        if shard not in connections:
            if shard not in self._initialized_dbs:
                with super().run_connection(shard):  # creates it
                    pass
            stack: ExitStack = self._batch.stack
            connection = stack.enter_context(self._engine(shard).connect())
            stack.enter_context(connection.begin())
            connections[shard] = connection
        return _kept_open(connections[shard])

    def _engine(self, shard: str) -> Engine:
        # Kept for the statements that it has compiled; it keeps no connection.
        if shard not in self._engines:
            if shard != INDEX_SHARD_NAME:
                self._engines = {k: e for k, e in self._engines.items() if k == INDEX_SHARD_NAME}
            self._engines[shard] = db.create_engine(
                self.conn_string_for_shard(shard),
                poolclass=NullPool,
                connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
            )
        return self._engines[shard]


@contextmanager
def _kept_open(connection: Connection) -> Iterator[Connection]:
    yield connection


class BatchingSqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with event logs as above."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        with writable_state(Path(base_dir)):
            own_folder(Path(base_dir))
            super().__init__(base_dir, inst_data)
        self._event_log_storage = BatchingSqliteEventLogStorage(self._event_log_storage._base_dir)

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Any
    ) -> "BatchingSqliteStorage":
        return cls.from_local(inst_data=inst_data, **config_value)
