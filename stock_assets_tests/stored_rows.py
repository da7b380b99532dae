"""Rows of stored objects as any reader of Parquet sees them, past our own reading of them."""

from collections.abc import Sequence

import polars as pl

from stock_assets.resources.object_store import ObjectStore


def rows_at(store: ObjectStore, paths: Sequence[str]) -> pl.DataFrame:
    return pl.scan_parquet(
        store.get_many(list(paths)),
        hive_partitioning=False,
        missing_columns="insert",
        extra_columns="ignore",
    ).collect()
