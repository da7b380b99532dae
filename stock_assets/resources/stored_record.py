"""The record of issued forecasts as it lies in the store: its head, and every issued session."""

from concurrent.futures import ThreadPoolExecutor

from stock_assets.asset_keys import Asset
from stock_assets.errors import DamagedObjectError
from stock_assets.forecasting.record import Finding, Head, Link, link_of
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_values import put_values, read_values

_FOLDER = "record"
_HEAD = f"{_FOLDER}/head.json"
_AT_ONCE = 8


def has_head(store: ObjectStore) -> bool:
    return bool(store.keys(_FOLDER))


def read_head(store: ObjectStore) -> Head:
    """The head of the record; that of nothing issued where there is none.

    Raises:
        DamagedObjectError: It is not what was stored.
    """
    if not has_head(store):
        return Head()
    (value,) = read_values(store, [_HEAD], dict)
    try:
        return Head(value["number"], value["last_session"], value["last_hash"])
    except KeyError as error:
        raise store.damaged({_HEAD: f"it lacks {error}"}) from None


def write_head(store: ObjectStore, head: Head) -> None:
    value = {
        "number": head.number,
        "last_session": head.session,
        "last_hash": head.record_hash,
    }
    put_values(store, {_HEAD: value})


def read_links(store: ObjectStore) -> tuple[list[Link], list[Finding], list[str]]:
    """What the chain needs to know of every stored session, and which can't be read.

    Objects themselves, not copies of them, and few in memory at a time.

    Returns:
        The links; findings of objects that are damaged; every stored session, ascending.
    """
    stored = stored_partitions(store, Asset.DAILY_FORECAST)

    def look(session: str) -> Link | Finding | None:
        path = stored[session].path
        try:
            return link_of(session, read_objects(store, [path]))
        except DamagedObjectError as error:
            return Finding((session,), f"its object is damaged: {error.damaged[path]}")

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(look, stored))
    return (
        [one for one in found if isinstance(one, Link)],
        [one for one in found if isinstance(one, Finding)],
        list(stored),
    )
