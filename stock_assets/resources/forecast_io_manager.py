"""Forecasts as Parquet, where an issued one is never replaced: there is no way to force it.

What is made again of an issued session is hindsight, and is stored beside it. Objects are written
before the head of the record, one by one in the order of their numbers: a kill in between leaves a
chain that goes on beyond its head, which the next issue brings up to date first. One process writes
a dataset at a time.
"""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.asset_keys import HINDSIGHT_FORECAST
from stock_assets.errors import DamagedObjectError
from stock_assets.forecasting.forecast_schema import RECORD_COLUMNS
from stock_assets.forecasting.record import Head, append, in_hindsight, is_issued
from stock_assets.resources.io_managers import ParquetIOManager
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.stamp_index import StampIndex
from stock_assets.resources.stamper import Stamper
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_record import has_head, read_head, write_head

_MAY_BE_OLDER = timedelta(days=21)


class ForecastIOManager(ParquetIOManager):
    """`is_live`: whether the source goes on, so that its forecasts are issued."""

    def __init__(
        self, store: ObjectStore, stamper: Stamper | None = None, *, is_live: bool
    ) -> None:
        super().__init__(store, stamper)
        self._is_live = is_live

    def store_values(
        self,
        context: dg.OutputContext,
        asset: str,
        by: str,
        values: Mapping[str, Any],
        folder: str = "",  # noqa: ARG002  # which it is depends on the value
    ) -> None:
        stored = stored_partitions(self.store, asset, by, min(values, default=""))
        kept = self._of_the_record(context, asset, {k: o for k, o in stored.items() if k in values})
        if kept:
            context.log.info(
                f"{len(kept)} sessions were issued and stay as they are ({kept[0]}..{kept[-1]});"
                f" what was made of them now is stored in {HINDSIGHT_FORECAST}"
            )
        beside = {key: in_hindsight(values[key]) for key in kept}
        super().store_values(context, asset, by, beside, HINDSIGHT_FORECAST)
        new = {key: rows for key, rows in values.items() if key not in beside}
        issued = {key: rows for key, rows in sorted(new.items()) if is_issued(rows)}
        hindsight = {key: rows for key, rows in new.items() if key not in issued}
        super().store_values(context, asset, by, hindsight)
        if not issued:
            return
        head = self._brought_up_to_date(context, asset, by)
        for key, rows in issued.items():
            numbered, head = append(rows, key, head)
            super().store_values(context, asset, by, {key: numbered})
        write_head(self.store, head)

    def _of_the_record(
        self, context: dg.OutputContext, asset: str, stored: Mapping[str, StoredObject]
    ) -> list[str]:
        """The keys whose stored objects stay.

        One that can't be read is moved aside instead, so that its bytes are kept: what it was can't
        be known, and its number will be missed by `verify`.
        """
        if not self._is_live and not has_head(self.store):
            return []  # nothing was ever issued: nothing needs to be read
        stamps = StampIndex(self.store).look_up(asset, stored).stamps if self.stamper else {}
        found = []
        for key, one in stored.items():
            try:
                rows = read_objects(self.store, [one.path], RECORD_COLUMNS)
            except DamagedObjectError as error:
                aside = self.store.set_aside(one.path)
                context.log.warning(f"{error.said}: moved to {aside}")
                continue
            # Without a stamp it is an older release's, made when nobody noted what was issued.
            of_older_release = self._is_live and key in stamps and not stamps[key].code
            if is_issued(rows) or of_older_release:
                found.append(key)
        return found

    def _brought_up_to_date(self, context: dg.OutputContext, asset: str, by: str) -> Head:
        """The newest of what the head says and what is stored; the head says so then.

        Where the head's session is missing or was changed, the chain goes on from the head all the
        same, so that `verify` finds it.
        """
        try:
            head = read_head(self.store)
        except DamagedObjectError as error:
            for path in error.damaged:
                aside = self.store.set_aside(path)
                context.log.warning(f"{error.said}: moved to {aside}, made again of the forecasts")
            head = Head()
        # A few days earlier too: with a longer horizon an older session may have been issued later.
        since = str(date.fromisoformat(head.session) - _MAY_BE_OLDER) if head.session else ""
        stored = stored_partitions(self.store, asset, by, since)
        if not stored:
            return head
        rows = read_rows(self.store, list(stored.values()), "as_of_session", *RECORD_COLUMNS)
        newest = rows.filter(pl.col("record_number") == pl.col("record_number").max()).head(1)
        for session, _, number, record_hash in newest.iter_rows():
            if number > head.number:
                head = Head(number, str(session), record_hash)
                write_head(self.store, head)
        return head
