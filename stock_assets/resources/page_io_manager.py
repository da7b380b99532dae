"""A page as one object: what an asset without partitions stores for people to open."""

import dagster as dg

from stock_assets.asset_keys import asset_name
from stock_assets.resources.object_store import ObjectStore

PAGE_FILE = "report.html"


def page_object(asset: str) -> str:
    """Where it lies: forecast_report/report.html."""
    return f"{asset}/{PAGE_FILE}"


class PageIOManager(dg.IOManager):
    """HTML as text; the one before is replaced."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def handle_output(self, context: dg.OutputContext, obj: str) -> None:
        path, page = page_object(asset_name(context.asset_key)), f"{obj}\n".encode()
        # With its checksum, as blanks after the page.
        self._store.put_encoded({path: page}, bytes)
        context.add_output_metadata(
            {"object": dg.MetadataValue.path(f"{self._store.uri}/{path}"), "bytes": len(page)}
        )

    def load_input(self, context: dg.InputContext) -> str:
        return self._store.get(page_object(asset_name(context.asset_key))).decode()
