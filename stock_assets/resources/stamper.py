"""Stamping objects as they are stored.

What goes into them is looked up before it is read. An input that is replaced while a run computes
then leaves stamps that are too old, never too new, and the objects are made again.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.planning.lineage import THROUGH, Lineage
from stock_assets.planning.stamp import Stamp
from stock_assets.planning.value_digest import marks_of, stated_inputs, value_digest
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.stamp_index import StampIndex
from stock_assets.resources.writer_lease import others_may_write, writing

_WHO = "a run of Dagster"
_log = logging.getLogger(__name__)


class Stamper:
    """The stamps of what one run stores.

    Args:
        store: Where.
        lineage: What objects are made of.
        versions: Those in the registry, asked for when forecasts are stored.
        say: Told for whom it waits.
    """

    def __init__(
        self,
        store: ObjectStore,
        lineage: Lineage,
        versions: Callable[[], Sequence[ModelVersion]] = lambda: (),
        say: Callable[[str], None] = _log.info,
    ) -> None:
        self._store, self._lineage, self._versions = store, lineage, versions
        self._say = say
        self._index = StampIndex(store)
        self._seen: dict[str, Mapping[str, Stamp]] = {}
        self._marks: dict[tuple[str, str], dict[str, str]] = {}
        self._since = time.monotonic()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """The right to write for the block; a run has it but for what is `while_others_write`."""
        with writing(self._store, _WHO, self._say):
            yield

    @contextmanager
    def while_others_write(self) -> Iterator[bool]:
        """A block of a run's `writing` in which it computes or waits, and stores nothing.

        It is told whether others may write: not where a command goes on holding the right to.
        """
        with others_may_write(self._store, _WHO, self._say) as others_write:
            yield others_write

    def see(self, asset: str, objects: Mapping[str, StoredObject]) -> None:
        """Notes what is stored of an asset that is about to be read."""
        self._seen[asset] = self._index.look_up(asset, objects).stamps
        self._since = time.monotonic()

    def stamp_of(self, asset: str, key: str) -> Stamp | None:
        """What the object of a month says of itself; None where it is missing or damaged."""
        found = stored_partitions(self._store, asset, "month", key).get(key)
        return self._index.look_up(asset, {key: found}).stamps.get(key) if found else None

    def mark(self, asset: str, key: str, **marks: str) -> None:
        """What the stamp of an object, not stored yet, says beside all else."""
        self._marks.setdefault((asset, key), {}).update(marks)

    def stamps(self, asset: str, values: Mapping[str, Any]) -> dict[str, Stamp]:
        """The stamps of values by key that are about to be stored."""
        for upstream in self._lineage.upstream(asset):
            if upstream not in self._seen:
                self.see(upstream, stored_partitions(self._store, upstream))
        through = {
            key: (date.fromisoformat(marks[THROUGH]),)
            for (of, key), marks in self._marks.items()
            if of == asset and THROUGH in marks
        }
        versions = self._versions() if asset == Asset.DAILY_FORECAST else ()
        made_of = self._lineage.made_of(asset, list(values), self._seen, versions, through)
        now = time.monotonic()
        each = (now - self._since) / max(1, len(values))
        self._since = now
        return {
            key: Stamp(
                stamp.code,
                stamp.settings,
                {**stamp.inputs, **stated_inputs(asset, values[key])},
                marks={**marks_of(asset, values[key]), **self._marks.pop((asset, key), {})},
            ).holding(value_digest(asset, values[key]), each)
            for key, stamp in made_of.items()
        }

    def stored(self, asset: str, entries: Mapping[str, tuple[str, Stamp]]) -> None:
        """Notes stamps by key of objects that are stored now, each with its entity tag."""
        self._index.add(asset, entries)
        if asset in self._seen:
            self._seen[asset] = {**self._seen[asset], **{k: s for k, (_, s) in entries.items()}}
