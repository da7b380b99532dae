"""`stock-assets forecast`: what is stored, nothing is computed."""

from datetime import date

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.errors import MissingPartitionsError
from stock_assets.market.sessions import load_calendar
from stock_assets.resources.object_store import open_store
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings


def stored_forecasts(settings: Settings, session: date | None) -> pl.DataFrame:
    """Forecasts from a session's close; the newest session's where none is given.

    Raises:
        NotASessionError: The exchange did not trade on that day.
        MissingPartitionsError: There are none.
    """
    if session:
        load_calendar(settings.calendar).check_session(session)
    with open_store(settings) as store:
        stored = stored_partitions(store, Asset.DAILY_FORECAST)
        if not stored:
            raise MissingPartitionsError(
                f"no forecast of {settings.dataset_name} is stored yet; make some with"
                " `stock-assets run`"
            )
        key = str(session) if session else max(stored)
        if key not in stored:
            raise MissingPartitionsError(
                f"no forecast from {key} is stored; there are {min(stored)}..{max(stored)}; make it"
                f" with `stock-assets run --from {key} --to {key}`"
            )
        return read_rows(store, [stored[key]])
