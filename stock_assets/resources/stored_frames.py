"""Parquet objects as frames, with the columns that their asset declares.

What is no Parquet, or lacks a column that it was stored with, is named in a DamagedObjectError: a
mandatory column that was null in silence would change models and forecasts. What was written before
a column existed has null there.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from stock_assets.asset_keys import HINDSIGHT_FORECAST, Asset
from stock_assets.forecasting.evaluation import SCORE_LATER, SCORE_SCHEMA
from stock_assets.forecasting.features import FEATURE_LATER, FEATURE_SCHEMA
from stock_assets.forecasting.forecast_schema import FORECAST_LATER, FORECAST_SCHEMA
from stock_assets.forecasting.splits import LABELLED_SCHEMA
from stock_assets.market.revisions import STORED_LATER, STORED_SCHEMA
from stock_assets.resources.object_store import ObjectStore

UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
"""What Polars makes of bytes that are no Parquet, and of columns that are missing or others."""
_AT_ONCE = 500
"""Objects whose bytes are in memory together."""


@dataclass(frozen=True)
class Columns:
    """What the objects of an asset hold.

    `later`: those of `schema` that did not exist from the start.
    """

    schema: Mapping[str, pl.DataType]
    later: Collection[str] = ()

    def matched(self, rows: pl.LazyFrame, wanted: Sequence[str] = ()) -> pl.LazyFrame:
        """The wanted columns, else all; null where a later one is missing, other ones left out."""
        schema = pl.Schema({name: self.schema[name] for name in wanted or self.schema})
        return rows.match_to_schema(
            schema,
            missing_columns={name: "insert" if name in self.later else "raise" for name in schema},
            extra_columns="ignore",
        )


_DECLARED: Mapping[str, Columns] = {
    Asset.RAW_PRICES: Columns(STORED_SCHEMA, STORED_LATER),
    Asset.FEATURES: Columns(FEATURE_SCHEMA, FEATURE_LATER),
    Asset.TRAIN_SET: Columns(LABELLED_SCHEMA, FEATURE_LATER),
    Asset.TEST_SET: Columns(LABELLED_SCHEMA, FEATURE_LATER),
    Asset.DAILY_FORECAST: Columns(FORECAST_SCHEMA, FORECAST_LATER),
    HINDSIGHT_FORECAST: Columns(FORECAST_SCHEMA, FORECAST_LATER),
    Asset.FORECAST_RMSE: Columns(SCORE_SCHEMA, SCORE_LATER),
}


def declared(paths: Sequence[str]) -> Columns | None:
    """The columns of the asset that objects belong to; None for one that declares none."""
    return _DECLARED.get(paths[0].partition("/")[0]) if paths else None


def read_objects(
    store: ObjectStore, paths: Sequence[str], wanted: Sequence[str] = ()
) -> pl.DataFrame:
    """The rows of some objects of one asset in the given order, all columns or some.

    Where the asset declares no columns, they are those of the first object, null where a later one
    lacks one.

    Raises:
        DamagedObjectError: Some can't be read, or lack a column; it names them all.
    """
    columns = declared(paths)
    schema = {name: columns.schema[name] for name in wanted or columns.schema} if columns else None
    parts: list[pl.DataFrame] = []
    for start in range(0, len(paths), _AT_ONCE):
        block = paths[start : start + _AT_ONCE]
        contents = [content for content, _ in store.get_with_tags(list(block))]
        scan = pl.scan_parquet(
            contents,
            hive_partitioning=False,
            schema=schema,
            missing_columns="raise" if columns else "insert",
            extra_columns="ignore",
        )
        try:
            # All in one scan takes a third of the time, but its error names none of them.
            parts.append((scan.select(wanted) if wanted else scan).collect())
        except UNREADABLE:
            each = rows_of_each(store, dict(zip(block, contents, strict=True)), wanted)
            if columns is None:
                raise
            parts += each.values()
    if columns is None:
        parts = [
            part.match_to_schema(parts[0].schema, missing_columns="insert", extra_columns="ignore")
            for part in parts
        ]
    return pl.concat(parts) if len(parts) > 1 else parts[0]


def rows_of_each(
    store: ObjectStore, contents: Mapping[str, bytes], wanted: Sequence[str] = ()
) -> dict[str, pl.DataFrame]:
    """The rows of objects of one asset by path, from their bytes.

    Raises:
        DamagedObjectError: Some can't be read, or lack a column; it names them all.
    """
    columns = declared(list(contents))
    scans = {
        path: columns.matched(rows, wanted) if columns else rows
        for path, content in contents.items()
        for rows in [pl.scan_parquet(content, hive_partitioning=False)]
    }
    try:
        # Together they take two thirds of the time, but the error names none of them.
        return dict(zip(scans, pl.collect_all(list(scans.values())), strict=True))
    except UNREADABLE:
        found, damaged = _one_by_one(scans)
        if damaged:
            raise store.damaged(damaged) from None
        return found


def _one_by_one(
    scans: Mapping[str, pl.LazyFrame],
) -> tuple[dict[str, pl.DataFrame], dict[str, str]]:
    """Rows by path of those that can be read, and what is wrong with the others."""
    found: dict[str, pl.DataFrame] = {}
    damaged: dict[str, str] = {}
    for path, rows in scans.items():
        try:
            found[path] = rows.collect()
        except UNREADABLE as error:
            damaged[path] = str(error).splitlines()[0][:120]
    return found, damaged
