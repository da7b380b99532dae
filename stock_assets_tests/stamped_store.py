"""A store whose objects hold nothing but stamps: as if everything had been made by now."""

import io
import json
from collections.abc import Iterable

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.planning.lineage import ASKED, IN_ORDER, PARAMS, Lineage
from stock_assets.planning.plan import Wanted
from stock_assets.planning.stamp import STAMP_FIELD, Stamp, stamped
from stock_assets.resources.asked_tickers import note_asked
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.partition_objects import object_path


def store_stamps(
    store: ObjectStore, lineage: Lineage, wanted: Wanted, tickers: Iterable[str]
) -> None:
    """An object for each wanted key, stamped with what it would be made of now."""
    empty = io.BytesIO()
    pl.DataFrame({"nothing": []}).write_parquet(empty)

    def encoded(asset: str, stamp: Stamp) -> bytes:
        if object_path(asset, "x").endswith(".json"):
            return json.dumps({STAMP_FIELD: stamp.as_values()}).encode()
        return stamped(empty.getvalue(), stamp)

    asked = note_asked(store, tickers)
    stamps: dict[str, dict[str, Stamp]] = {}
    for asset in IN_ORDER:
        marks = {Asset.RAW_PRICES: {ASKED: asked}, Asset.TUNED_MODEL: {PARAMS: "-"}}.get(asset, {})
        stamps[asset] = {}
        # A month's model looks at an earlier one's search.
        each = [[key] for key in wanted.of(asset)]
        for keys in each if asset == Asset.TUNED_MODEL else [wanted.of(asset)]:
            for key, one in lineage.made_of(asset, keys, stamps).items():
                made = Stamp(one.code or "-", one.settings, one.inputs, marks=marks)
                stamps[asset][key] = made.holding(key, 0)
        store.put_many(
            {object_path(asset, key): encoded(asset, one) for key, one in stamps[asset].items()}
        )
