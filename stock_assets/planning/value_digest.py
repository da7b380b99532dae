"""Digests of what objects hold: what downstream stamps are made of.

Left out is what changes nothing downstream: when and from whom a bar was fetched, where MLflow
keeps a study. So an object that is made again with the same values makes nothing else stale.
"""

import io
import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.forecast_schema import RECORD_COLUMNS
from stock_assets.forecasting.record import is_issued
from stock_assets.planning.lineage import AND, CHAMPIONS, ISSUED, PARAMS
from stock_assets.planning.stamp import digest

_BESIDE = {
    Asset.RAW_PRICES: frozenset({"source", "fetched_at", "revisions", "vendor"}),
    Asset.DAILY_FORECAST: frozenset(RECORD_COLUMNS),
}
"""Columns that change nothing downstream."""


def value_digest(asset: str, value: Any) -> str:
    """Of a partition's value: a frame, or plain values."""
    if isinstance(value, pl.DataFrame):
        held = value.select(pl.exclude(*_BESIDE.get(asset, ()))) if asset in _BESIDE else value
        lists = [name for name, dtype in held.schema.items() if isinstance(dtype, pl.List)]
        if not lists:
            return digest(_bytes(held))
        # As they are, lists would tell what larger frame the rows were cut from.
        items = (_bytes(held.select(pl.col(name).explode(empty_as_null=False))) for name in lists)
        lengths = (held[name].list.len().cast(pl.Int64).fill_null(-1).to_numpy() for name in lists)
        rest = _bytes(held.select(pl.exclude(*lists)))
        return digest(rest, *items, *(one.tobytes() for one in lengths))
    if asset == Asset.TUNED_MODEL:
        # The same data, code and settings give the same study, wherever it is kept.
        return digest(str(value.get("fingerprint") or value.get("reason")))
    return digest(
        json.dumps(
            _without_places(value),
            sort_keys=True,
            default=str,
        )
    )


def _bytes(rows: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.rechunk().write_ipc(buffer, compression="uncompressed")
    return buffer.getvalue()


def marks_of(asset: str, value: Any) -> dict[str, str]:
    """Marks that a value gives by itself: a study its parameters, a forecast that it was issued."""
    if asset == Asset.DAILY_FORECAST and is_issued(value):
        return {ISSUED: "yes"}
    if asset == Asset.TUNED_MODEL and value.get("params") is not None:
        return {PARAMS: digest(json.dumps(value["params"], sort_keys=True))}
    return {}


def stated_inputs(asset: str, value: Any) -> Mapping[str, str]:
    """Inputs that a value names itself: a version, the champions that it was held against."""
    # A month without a model was held against nobody.
    if asset == Asset.REGISTERED_VERSION and value.get("fingerprint"):
        judges: list[str] = []
        version: Any = value
        while version:  # a month that was trained again has earlier ones
            by = version["held_against"]
            judges.insert(0, f"{by['point'] or '-'}/{by['intervals'] or '-'}")
            version = version.get("earlier")
        return {CHAMPIONS: AND.join(judges)}
    return {}


def _without_places(value: Any) -> Any:
    """The same without the fields that say where MLflow keeps something, at any depth."""
    if not isinstance(value, dict):
        return value
    return {n: _without_places(v) for n, v in value.items() if not n.startswith("mlflow_")}
