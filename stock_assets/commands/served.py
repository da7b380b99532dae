"""`stock-assets served`: which versions' points and intervals users had for a session."""

from datetime import date
from typing import Any

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.evaluation import HINDSIGHT, ISSUED
from stock_assets.forecasting.record import is_issued
from stock_assets.market.sessions import load_calendar
from stock_assets.resources.object_store import open_store
from stock_assets.resources.partition_objects import stored_partitions
from stock_assets.resources.read_cache import read_rows
from stock_assets.settings import Settings

_MADE_BY = ("model", "model_version", "trained_through", "intervals_version")


def served_at(settings: Settings, target: date) -> dict[str, Any]:
    """Who made the stored forecasts of a target session, and whether they were issued.

    Raises:
        NotASessionError: The exchange does not trade on that day.
        MissingPartitionsError: No forecast of it is stored.
    """
    session = load_calendar(settings.calendar).offset(target, -settings.horizon)
    with open_store(settings) as store:
        stored = stored_partitions(store, Asset.DAILY_FORECAST, "session", str(session)).get(
            str(session)
        )
        if stored is None:
            raise MissingPartitionsError(
                f"no forecast of {target} (from the close of {session}) is stored; make it with"
                f" `stock-assets run --from {target} --to {target}`, in hindsight"
            )
        rows = read_rows(store, [stored])
    by = rows.group_by(*_MADE_BY, maintain_order=True).agg("ticker").sort(*_MADE_BY)
    return {
        "target_session": str(target),
        "as_of_session": str(session),
        "record": ISSUED if is_issued(rows) else HINDSIGHT,
        "issued_at": rows["issued_at"].min(),
        "record_number": rows["record_number"].min(),
        "served": by.with_columns(pl.col("trained_through").cast(pl.String))
        .rename({"ticker": "tickers"})
        .to_dicts(),
    }


def lines(found: dict[str, Any]) -> list[str]:
    """The same for a person."""
    of = f"{found['target_session']}, from the close of {found['as_of_session']}"
    if found["record"] == ISSUED:
        said = [f"{of}: issued at {found['issued_at']:%Y-%m-%d %H:%M:%S} UTC"]
    else:
        said = [f"{of}: hindsight, none was issued; made later, users did not have it"]
    for one in found["served"]:
        point = f" version {one['model_version']}" if one["model_version"] is not None else ""
        through = f", trained through {one['trained_through']}" if point else ""
        intervals = one["intervals_version"]
        widths = f"of version {intervals}" if intervals is not None else "the normal distribution's"
        some = ", ".join(one["tickers"][:5])
        more = f" and {len(one['tickers']) - 5} more" if len(one["tickers"]) > 5 else ""
        said.append(
            f"  {some}{more}: {one['model'].replace('_', ' ')}{point}{through}; intervals {widths}"
        )
    return said
