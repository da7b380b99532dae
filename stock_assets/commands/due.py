"""What must be computed again although it is stored: noted before its input changes.

A price fetched late changes features that exist, a new model forecasts that exist. A command that
is killed in between would leave them as they were, and the next one would find nothing missing. So
the keys are written down first, one object a command and asset, and struck off when they are done;
whoever comes next does what is still noted.
"""

import json
from collections.abc import Iterable
from pathlib import PurePosixPath

from stock_assets.resources.io_managers import stored_partitions
from stock_assets.resources.object_store import ObjectStore

_FOLDER = "due"


class Due:
    """Notes of one command, and those that dead ones have left.

    Args:
        store: Where notes lie beside what they are about.
        command: The name of this one.
        others: Names of commands under way, which do what they noted themselves.
    """

    def __init__(self, store: ObjectStore, command: str, others: frozenset[str]) -> None:
        self._store, self._own, self._others = store, f"{command}.json", others

    def note(self, asset: str, keys: Iterable[str]) -> None:
        """Adds those of the keys that are stored: the others are missing, and done for that."""
        wanted = set(keys) & stored_partitions(self._store, asset).keys()
        if wanted:
            path = f"{_FOLDER}/{asset}/{self._own}"
            known = self._read([path] if path in self._notes(asset) else [])
            self._store.put_many({path: json.dumps(sorted(wanted | known)).encode()})

    def keys(self, asset: str) -> set[str]:
        """What is noted of an asset."""
        return self._read(self._notes(asset))

    def strike(self, asset: str, keys: Iterable[str]) -> None:
        """Removes keys that are done."""
        done = set(keys)
        for note in self._notes(asset):
            left = sorted(self._read([note]) - done)
            if left:
                self._store.put_many({note: json.dumps(left).encode()})
            else:
                self._store.delete([note])

    def _notes(self, asset: str) -> list[str]:
        return [
            note
            for note in self._store.keys(f"{_FOLDER}/{asset}")
            if PurePosixPath(note).stem not in self._others
        ]

    def _read(self, notes: list[str]) -> set[str]:
        return {key for note in self._store.get_many(notes) for key in json.loads(note)}
