"""The stamps of what is stored, without opening each object.

`stamps/<asset>/<year>.json` holds what each object's stamp said, with the entity tag under which it
was read. It is a copy and nothing more: an entry counts where the listing shows that tag, any other
object is opened itself. So who deletes or damages the index, or writes objects without it, costs
the next reader some time.
"""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from stock_assets.errors import DamagedObjectError, ObjectStoreError
from stock_assets.planning.stamp import Stamp, stamp_of
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_values import put_values, read_values

_FOLDER = "stamps"
_AT_ONCE = 500
Known = Mapping[str, tuple[str, Stamp]]
"""Entity tag and stamp by key."""


@dataclass(frozen=True)
class Found:
    """What is stored of an asset.

    `stamps`: by key, of objects that can be read; an empty stamp where it has none. `damaged`: by
    key, what is wrong with the others. `objects`: by key.
    """

    stamps: Mapping[str, Stamp] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    objects: Mapping[str, StoredObject] = field(default_factory=dict)


class StampIndex:
    """Stamps by asset and key."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def known(self, asset: str, years: Collection[str] | None = None) -> Known:
        """What the index says of some years, else of all; an entity tag and a stamp by key."""
        found = {}
        for values in self._values(asset, years).values():
            for key, entry in values.items():
                with suppress(TypeError, ValueError):
                    tag, stamp = entry
                    found[key] = (tag, Stamp.of(stamp))
        return found

    def look_up(
        self, asset: str, objects: Mapping[str, StoredObject], known: Known | None = None
    ) -> Found:
        """The stamps of some objects of an asset by key, as a listing shows them.

        `known`: what the index says, where that was read before.
        """
        if known is None:
            known = self.known(asset, {key[:4] for key in objects})
        stamps = {
            key: known[key][1]
            for key, one in objects.items()
            if key in known and one.tag and known[key][0] == one.tag
        }
        unknown = {key: one for key, one in objects.items() if key not in stamps}
        damaged: dict[str, str] = {}
        read: dict[str, tuple[str, Stamp]] = {}
        paths = sorted(unknown.items())
        for start in range(0, len(paths), _AT_ONCE):
            block = dict(paths[start : start + _AT_ONCE])
            read |= self._read(block, damaged)
        if read:
            self.add(asset, read)
        every = stamps | {key: stamp for key, (_, stamp) in read.items()}
        return Found({key: every[key] for key in objects if key in every}, damaged, objects)

    def add(self, asset: str, entries: Mapping[str, tuple[str, Stamp]]) -> None:
        """Notes stamps by key, each with the entity tag of its object."""
        by_year: dict[str, dict[str, Any]] = {}
        for key, (tag, stamp) in entries.items():
            by_year.setdefault(key[:4], {})[key] = [tag, stamp.as_values()]
        before = self._values(asset, by_year)
        # What can't be noted is read from the objects; that must not stop anybody.
        with suppress(ObjectStoreError):
            put_values(
                self._store,
                {
                    _path(asset, year): dict(sorted((before.get(year, {}) | new).items()))
                    for year, new in by_year.items()
                },
            )

    def _values(self, asset: str, years: Collection[str] | None) -> dict[str, dict[str, Any]]:
        if years is not None and not years:
            return {}
        there = {path[-9:-5]: path for path in self._store.keys(f"{_FOLDER}/{asset}")}
        paths = {year: path for year, path in there.items() if years is None or year in years}
        try:
            values = read_values(self._store, list(paths.values()), dict)
        except DamagedObjectError as error:
            self._store.delete(list(error.damaged))
            return self._values(asset, years)
        return dict(zip(paths, values, strict=True))

    def _read(
        self, objects: Mapping[str, StoredObject], damaged: dict[str, str]
    ) -> dict[str, tuple[str, Stamp]]:
        """Stamps of objects that are opened; what is wrong with others is added to `damaged`."""
        paths = {key: one.path for key, one in objects.items()}
        try:
            contents = self._store.get_with_tags(list(paths.values()))
        except DamagedObjectError as error:
            keys = {path: key for key, path in paths.items()}
            damaged |= {keys[path]: why for path, why in error.damaged.items()}
            left = {key: one for key, one in objects.items() if key not in damaged}
            return self._read(left, damaged) if left else {}
        found = {}
        for (key, path), (content, tag) in zip(paths.items(), contents, strict=True):
            stamp = stamp_of(content)
            if stamp is None:
                # Of an older release, or cut so that neither stamp nor checksum is left of it.
                try:
                    _try_to_read(self._store, path)
                except DamagedObjectError as error:
                    damaged[key] = error.damaged[path]
                    continue
            found[key] = (tag, stamp or Stamp())
        return found


def _try_to_read(store: ObjectStore, path: str) -> None:
    if path.endswith(".json"):
        read_values(store, [path], dict)
    else:
        read_objects(store, [path])


def _path(asset: str, year: str) -> str:
    return f"{_FOLDER}/{asset}/{year}.json"
