"""Which tickers the bars of a session were asked for: a ticker without a bar was asked for too.

Sets lie under a digest of theirs, `stamps/asked/<digest>.json`, since thousands of sessions share
one; the stamp of a session's prices holds the digest.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from stock_assets.errors import DamagedObjectError
from stock_assets.planning.lineage import ASKED
from stock_assets.planning.stamp import Stamp, digest
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.read_cache import read_rows
from stock_assets.resources.stored_values import put_values, read_values

_FOLDER = "stamps/asked"


def note_asked(store: ObjectStore, tickers: Iterable[str]) -> str:
    """Stores a set of tickers; its digest."""
    wanted = sorted(set(tickers))
    name = digest(*wanted)
    put_values(store, {_path(name): wanted})
    return name


def asked_sets(store: ObjectStore, stamps: Mapping[str, Stamp]) -> dict[str, frozenset[str]]:
    """The sets that some stamps of prices name, by digest; one that can't be read is left out."""
    there = set(store.keys(_FOLDER))
    names = {stamp.marks[ASKED] for stamp in stamps.values() if ASKED in stamp.marks}
    known = sorted(name for name in names if _path(name) in there)
    try:
        values = read_values(store, [_path(name) for name in known], list)
    except DamagedObjectError as error:
        store.delete(list(error.damaged))
        return asked_sets(store, stamps)
    return dict(zip(known, map(frozenset, values), strict=True))


def marks_of_asked(
    store: ObjectStore,
    sessions: Sequence[date],
    before: Mapping[str, frozenset[str]],
    asked: Iterable[str],
) -> dict[str, str]:
    """The mark of each session by key, after some tickers were asked for once more.

    Args:
        store: Where sets lie.
        sessions: That were fetched.
        before: Tickers asked for earlier, by key.
        asked: Those that the source answered for now.
    """
    now = frozenset(asked)
    sets = {str(session): now | before.get(str(session), frozenset()) for session in sessions}
    names = {tickers: note_asked(store, tickers) for tickers in set(sets.values())}
    return {key: names[tickers] for key, tickers in sets.items()}


def tickers_asked(
    store: ObjectStore, stamps: Mapping[str, Stamp], objects: Mapping[str, StoredObject]
) -> dict[str, frozenset[str]]:
    """The tickers that each session's bars were asked for, by key.

    Prices of an older release name none: what they were asked for is what they have bars of.
    """
    sets = asked_sets(store, stamps)
    found = {
        key: sets.get(stamp.marks.get(ASKED, ""), frozenset()) for key, stamp in stamps.items()
    }
    silent = [key for key, stamp in stamps.items() if ASKED not in stamp.marks]
    if silent:
        rows = read_rows(store, [objects[key] for key in silent], "ticker", "session")
        for (session,), own in rows.group_by("session"):
            found[str(session)] = frozenset(own["ticker"])
    return found


def _path(name: str) -> str:
    return f"{_FOLDER}/{name}.json"
