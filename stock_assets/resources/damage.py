"""Looking at every object of a dataset: which can't be read as what was written."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from stock_assets.errors import DamagedObjectError
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.stored_frames import read_objects
from stock_assets.resources.stored_values import read_values

_AT_ONCE = 8


def find_damaged(store: ObjectStore, assets: Sequence[str]) -> tuple[int, dict[str, str]]:
    """How many objects some assets have, and what is wrong with those that are damaged, by path."""

    def look(path: str) -> dict[str, str]:
        try:
            if path.endswith(".json"):
                read_values(store, [path], dict)
            else:
                read_objects(store, [path])
        except DamagedObjectError as error:
            return dict(error.damaged)
        return {}

    paths = [path for asset in assets for path in store.keys(asset)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        damaged = {path: why for found in pool.map(look, paths) for path, why in found.items()}
    return len(paths), damaged
