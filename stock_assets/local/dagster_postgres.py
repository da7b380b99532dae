"""Dagster's PostgreSQL storage, with a batch for a run's plan and a connection that is kept.

Dagster writes what was materialised in a batch, but what a run plans to materialise event by event,
and opens a connection for each statement: its password alone takes 10 ms. Of a run over a long
range that was most of the time. Tables are Dagster's own.
"""

from collections.abc import Sequence

from dagster import DagsterEventType, EventLogEntry
from dagster_postgres import DagsterPostgresStorage, PostgresEventLogStorage
from dagster_postgres.utils import create_pg_engine

from stock_assets.local.dagster_private.runs import ConfigurableClassData
from stock_assets.local.dagster_private.storage import SqlEventLogStorageTable
from stock_assets.local.dagster_storage import FewerRows

_PLANNED = DagsterEventType.ASSET_MATERIALIZATION_PLANNED


class BatchingPostgresEventLogStorage(FewerRows, PostgresEventLogStorage):
    """A batch of plans is two transactions."""

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        planned = [event for event in events if event.dagster_event_type == _PLANNED]
        others = [event for event in events if event.dagster_event_type != _PLANNED]
        if planned:
            self._store_planned(planned)
        if others:
            super().store_event_batch(others)

    def _store_planned(self, events: Sequence[EventLogEntry]) -> None:
        insert = self.prepare_insert_event_batch(events)
        with self._connect() as connection:
            rows = connection.execute(insert.returning(SqlEventLogStorageTable.c.id))
            ids = [int(row[0]) for row in rows]
        with self.index_transaction() as connection:
            self._store_asset_event_tags(connection, events, ids)
            self._store_newest(connection, events, ids)


class BatchingPostgresStorage(DagsterPostgresStorage):
    """Dagster's PostgreSQL storage with an event log as above."""

    def __init__(self, url: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(url, inst_data=inst_data)
        self._event_log_storage = BatchingPostgresEventLogStorage(url)
        for storage in (self._event_log_storage, self._run_storage, self._schedule_storage):
            # One that the server has closed meanwhile is noticed before it is used.
            storage._engine = create_pg_engine(
                url, isolation_level="AUTOCOMMIT", pool_size=1, max_overflow=20, pool_pre_ping=True
            )
