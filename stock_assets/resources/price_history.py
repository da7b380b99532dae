"""What is stored of `raw_prices`: to merge a new answer into, and to see what is missing.

Reads, and sets damaged objects aside: what can't be read must not keep its session from being
fetched again. Writing is the I/O manager's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.errors import DamagedObjectError
from stock_assets.market.revisions import STORED_SCHEMA
from stock_assets.resources.asked_tickers import marks_of_asked, tickers_asked
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.stamp_index import StampIndex

_RECENT = 5
_RECENTLY = timedelta(days=30)


@dataclass(frozen=True)
class StoredPrices:
    """What was stored when it was looked at.

    `bars`: of the sessions asked for, STORED_SCHEMA. `recent_tickers`: those with a bar in one of
    the last five stored sessions before. `newest`: the newest stored session of all. `damaged`: of
    the sessions asked for, those whose object was set aside, and what was wrong with it.
    """

    bars: pl.DataFrame
    recent_tickers: frozenset[str]
    newest: date | None
    damaged: Mapping[str, str] = field(default_factory=dict)


class PriceHistory:
    """`raw_prices` in an object store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def look_up(self, sessions: Sequence[date]) -> StoredPrices:
        """What is stored of some sessions (ascending) and just before them."""
        objects = self._objects(sessions[0] - _RECENTLY)
        before = [stored for key, stored in objects.items() if key < str(sessions[0])]
        if len(before) < _RECENT:
            objects = self._objects()
            before = [stored for key, stored in objects.items() if key < str(sessions[0])]
        present = {str(s): objects[str(s)] for s in sessions if str(s) in objects}
        bars, damaged = pl.DataFrame(schema=STORED_SCHEMA), dict[str, str]()
        while present:
            try:
                bars = read_rows(self._store, list(present.values()))
                break
            except DamagedObjectError as error:
                for key in [k for k, one in present.items() if one.path in error.damaged]:
                    path = present.pop(key).path
                    damaged[key] = error.damaged[path]
                    self._store.set_aside(path)
        recent = read_rows(self._store, before[-_RECENT:], "ticker") if before else bars.clear()
        newest = date.fromisoformat(max(objects)) if objects else None
        return StoredPrices(bars, frozenset(recent["ticker"].unique()), newest, damaged)

    def note_asked(self, sessions: Sequence[date], answered: Iterable[str]) -> dict[str, str]:
        """The mark of each session by key, after the source answered for some tickers once more.

        It names all tickers that the session's bars were ever asked for, see `asked_tickers`.
        """
        stored = self._objects(sessions[0])
        objects = {str(s): stored[str(s)] for s in sessions if str(s) in stored}
        stamps = StampIndex(self._store).look_up(Asset.RAW_PRICES, objects).stamps
        before = tickers_asked(self._store, stamps, objects)
        return marks_of_asked(self._store, sessions, before, answered)

    def bars(self, sessions: Sequence[date], *columns: str) -> pl.DataFrame:
        """Stored bars of some sessions (ascending), all columns or some; none are no error."""
        objects = self._objects(sessions[0])
        present = [objects[str(s)] for s in sessions if str(s) in objects]
        if not present:
            return pl.DataFrame(schema=STORED_SCHEMA).select(columns or STORED_SCHEMA)
        return read_rows(self._store, present, *columns)

    def _objects(self, since: date | None = None) -> dict[str, StoredObject]:
        return stored_partitions(self._store, Asset.RAW_PRICES, "session", str(since or ""))
