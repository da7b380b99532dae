"""Where a partition's object lies, and which partitions have one."""

import re

from stock_assets.asset_keys import Asset
from stock_assets.planning.lineage import SESSION_ASSETS
from stock_assets.resources.object_store import ObjectStore, StoredObject


def partition_object(asset: str, partitioned_by: str, key: str, file: str) -> str:
    """Where a partition's object lies: raw_prices/session=2013-02-28/part.parquet."""
    return f"{asset}/{partitioned_by}={key}/{file}"


# Whatever else lies there, nothing reads it: a key becomes a date, and a part of files' names.
_KEY = re.compile(r"[a-z_]+=(\d{4}-\d\d(?:-\d\d)?)")


def object_path(asset: str, key: str) -> str:
    """The same by asset and key alone."""
    by = "session" if asset in SESSION_ASSETS else "month"
    file = (
        "value.json" if asset in (Asset.TUNED_MODEL, Asset.REGISTERED_VERSION) else "part.parquet"
    )
    return partition_object(asset, by, key, file)


def stored_partitions(
    store: ObjectStore, asset: str, by: str = "", since: str = ""
) -> dict[str, StoredObject]:
    """Partition keys of an asset that have an object, with that object, ascending.

    Args:
        store: Where.
        asset: Its name.
        by: What it is partitioned by, where `since` is given.
        since: The first partition key that is looked for; left out: all.
    """
    # One character less: SeaweedFS leaves out the folder whose own name is given.
    after = f"{asset}/{by}={since[:-1]}" if since else None
    keyed = (
        (found[1], stored)
        for stored in store.listed(asset, after)
        if (found := _KEY.fullmatch(stored.path.split("/")[-2]))
    )
    return {partition: stored for partition, stored in keyed if partition >= since}
