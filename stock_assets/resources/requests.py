"""What people asked for that the plan heeds: months trained through a session of theirs, and anew.

Facts like prices, so they lie in the store: `requests/`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime

from stock_assets.errors import DamagedObjectError
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.stored_values import put_values, read_values

_FOLDER = "requests"
_RETRAIN = f"{_FOLDER}/retrain-"
_ANEW = f"{_FOLDER}/anew-"


def request_retrain(store: ObjectStore, month: str, through: date) -> None:
    """A month's model is one with data through a session of the month, from now on.

    Those through earlier sessions that were asked for before stay: they serve up to it.
    """
    known = requested(store, {})[0].get(month, ())
    asked = [*(one for one in known if one < through), through]
    put_values(
        store, {f"{_RETRAIN}{month}.json": {"month": month, "through": list(map(str, asked))}}
    )


def request_anew(store: ObjectStore, keys: Mapping[str, Sequence[str]]) -> None:
    """Some keys of assets are made again, although nothing that they are made of has changed."""
    since = datetime.now(UTC)
    spans = {asset: [min(of), max(of)] for asset, of in keys.items() if of}
    path = f"{_ANEW}{since:%Y%m%dT%H%M%S.%fZ}.json"
    put_values(store, {path: {"since": since.isoformat(timespec="microseconds"), "keys": spans}})


def requested(
    store: ObjectStore, wanted: Mapping[str, Iterable[str]]
) -> tuple[dict[str, tuple[date, ...]], dict[str, dict[str, str]]]:
    """Months with the sessions through which they are trained again, and keys to make anew.

    The latter by asset, each with since when.
    """
    paths = store.keys(_FOLDER)
    try:
        values = dict(zip(paths, read_values(store, paths, dict), strict=True))
    except DamagedObjectError as error:
        for path in error.damaged:
            store.set_aside(path)
        return requested(store, wanted)
    retrained = {
        one["month"]: tuple(map(date.fromisoformat, one["through"]))
        for path, one in values.items()
        if path.startswith(_RETRAIN)
    }
    anew: dict[str, dict[str, str]] = {}
    for path in sorted(path for path in values if path.startswith(_ANEW)):  # the newest counts
        for asset, (first, last) in values[path]["keys"].items():
            since = {
                key: values[path]["since"] for key in wanted.get(asset, ()) if first <= key <= last
            }
            anew.setdefault(asset, {}).update(since)
    return retrained, anew


def forget_anew(store: ObjectStore, done: Mapping[str, Sequence[str]]) -> None:
    """Deletes the requests all of whose keys are done."""
    paths = [path for path in store.keys(_FOLDER) if path.startswith(_ANEW)]
    for path, value in zip(paths, read_values(store, paths, dict), strict=True):
        spans = value["keys"].items()
        if all(done.get(of) and min(done[of]) <= a and b <= max(done[of]) for of, (a, b) in spans):
            store.delete([path])
