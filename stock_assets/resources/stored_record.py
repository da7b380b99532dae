"""The record of issued forecasts as it lies in the store: its head, and every issued session."""

from collections.abc import Iterator

import polars as pl

from stock_assets.errors import DamagedObjectError
from stock_assets.forecasting.record import Finding, Head, Link, link_of
from stock_assets.resources.io_managers import stored_partitions
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_values import put_values, read_values

DAILY_FORECAST, HINDSIGHT_FORECAST = "daily_forecast", "hindsight_forecast"
_FOLDER = "record"
_HEAD = f"{_FOLDER}/head.json"


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

    Objects themselves, not copies of them, and one in memory at a time.

    Returns:
        The links; findings of objects that are damaged; every stored session, ascending.
    """
    stored = stored_partitions(store, DAILY_FORECAST)
    links: list[Link] = []
    damaged: list[Finding] = []
    for session, rows in _read_each(store, {key: one.path for key, one in stored.items()}):
        if isinstance(rows, str):
            damaged.append(Finding((session,), rows))
        elif link := link_of(session, rows):
            links.append(link)
    return links, damaged, list(stored)


def _read_each(
    store: ObjectStore, paths: dict[str, str]
) -> Iterator[tuple[str, pl.DataFrame | str]]:
    for session, path in paths.items():
        try:
            yield session, read_objects(store, [path])
        except DamagedObjectError as error:
            yield session, f"its object is damaged: {error.damaged[path]}"
