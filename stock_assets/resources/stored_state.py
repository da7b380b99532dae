"""What the plan needs to know of a store: the stamps of all objects, and what people asked for."""

from concurrent.futures import ThreadPoolExecutor

from stock_assets.asset_keys import Asset
from stock_assets.planning.lineage import IN_ORDER, ISSUED
from stock_assets.planning.plan import Stored, Wanted
from stock_assets.resources.asked_tickers import tickers_asked
from stock_assets.resources.object_store import ObjectStore, StoredObject
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.requests import requested
from stock_assets.resources.stamp_index import Found, StampIndex


def listed_objects(store: ObjectStore) -> dict[str, dict[str, StoredObject]]:
    """Every object by asset and key."""
    with ThreadPoolExecutor(len(IN_ORDER)) as pool:
        found = pool.map(lambda asset: stored_partitions(store, asset), IN_ORDER)
        return dict(zip(IN_ORDER, found, strict=True))


def stored_state(
    store: ObjectStore,
    wanted: Wanted | None = None,
    *,
    is_live: bool,
) -> Stored:
    """The state of a store.

    Args:
        store: Where.
        wanted: Keys that requests are looked up for; left out: all that are stored.
        is_live: Whether forecasts without a stamp may have been issued.
    """
    index = StampIndex(store)

    def look_up(asset: str) -> Found:
        # The server takes its time to list, which is enough to read the index meanwhile.
        with ThreadPoolExecutor(1) as pool:
            known = pool.submit(index.known, asset)
            return index.look_up(asset, stored_partitions(store, asset), known.result())

    with ThreadPoolExecutor(len(IN_ORDER)) as pool:
        found = dict(zip(IN_ORDER, pool.map(look_up, IN_ORDER), strict=True))
    stamps = {asset: one.stamps for asset, one in found.items()}
    retrained, anew = requested(store, wanted.keys if wanted else stamps)
    asked = tickers_asked(store, stamps[Asset.RAW_PRICES], found[Asset.RAW_PRICES].objects)
    issued = frozenset(
        key
        for key, stamp in stamps[Asset.DAILY_FORECAST].items()
        if ISSUED in stamp.marks or (is_live and not stamp.code)
    )
    return Stored(
        stamps,
        {asset: one.damaged for asset, one in found.items()},
        asked,
        issued,
        retrained,
        anew,
    )
