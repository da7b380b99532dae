"""What must be computed again although it is stored: noted before its input changes.

A price fetched late changes features that exist, a new model forecasts that exist. A command that
is killed in between would leave them as they were, and the next one would find nothing missing. So
the keys are written down first, one object a command and asset, and struck off when they are done;
whoever comes next does what is still noted. A note that can't be read may have named anything: it
is taken to name all that is stored.
"""

import sys
from collections.abc import Iterable
from pathlib import PurePosixPath

from stock_assets.errors import DamagedObjectError
from stock_assets.resources.io_managers import stored_partitions
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.stored_values import put_values, read_values

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
            known = self._read(asset, [path] if path in self._notes(asset) else [])
            put_values(self._store, {path: sorted(wanted | known)})

    def keys(self, asset: str) -> set[str]:
        """What is noted of an asset."""
        return self._read(asset, self._notes(asset))

    def strike(self, asset: str, keys: Iterable[str]) -> None:
        """Removes keys that are done."""
        done = set(keys)
        for note in self._notes(asset):
            left = sorted(self._read(asset, [note]) - done)
            if left:
                put_values(self._store, {note: left})
            else:
                self._store.delete([note])

    def _notes(self, asset: str) -> list[str]:
        return [
            note
            for note in self._store.keys(f"{_FOLDER}/{asset}")
            if PurePosixPath(note).stem not in self._others
        ]

    def _read(self, asset: str, notes: list[str]) -> set[str]:
        try:
            return {key for note in read_values(self._store, notes, list) for key in note}
        except DamagedObjectError as error:
            every = sorted(stored_partitions(self._store, asset))
            print(
                f"note: {error.said}; all {len(every)} of {asset} are made again instead",
                file=sys.stderr,
                flush=True,
            )
            for note in error.damaged:
                self._store.set_aside(note)
                put_values(self._store, {note: every})
            return self._read(asset, notes)
