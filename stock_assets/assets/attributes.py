"""What all assets of a kind share: how they are keyed, stored, owned and backfilled."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.partitions import Partitions
from stock_assets.resources.io_managers import COLUMN_SCHEMA, PARTITION_COLUMN, PARTITIONED_BY
from stock_assets.resources.one_by_one import OneByOne

PARQUET, JSON, PAGE = "parquet_io_manager", "json_io_manager", "page_io_manager"
FORECASTS = "forecast_io_manager"
OWNERS = ["team:forecasting"]

FRAME = dg.PythonObjectDagsterType(pl.DataFrame, name="Frame", description="A polars frame.")
HTML = dg.PythonObjectDagsterType(str, name="Html", description="A page.")
BY_MONTH = dg.PythonObjectDagsterType(
    OneByOne, name="ByMonth", description="A value per month, stored as each is made."
)


def by_session(
    partitions: Partitions,
    schema: Mapping[str, pl.DataType] | None = None,
    column: str = "session",
) -> dict[str, Any]:
    """Arguments of an asset with one Parquet object per session; `column` holds the session.

    A `schema` given here is shown once, with the asset, not with each partition's event.
    """
    columns = [dg.TableColumn(name, str(dtype)) for name, dtype in (schema or {}).items()]
    return {
        "partitions_def": partitions.sessions,
        "backfill_policy": dg.BackfillPolicy.multi_run(partitions.sessions_per_run),
        "io_manager_key": PARQUET,
        "dagster_type": FRAME,
        "owners": OWNERS,
        "metadata": {
            PARTITIONED_BY: "session",
            PARTITION_COLUMN: column,
            **({COLUMN_SCHEMA: dg.TableSchema(columns)} if columns else {}),
        },
    }


def by_month(partitions: Partitions, io_manager: str) -> dict[str, Any]:
    """Arguments of an asset with one object per month, whose value is `OneByOne`."""
    return {
        "partitions_def": partitions.months,
        "backfill_policy": dg.BackfillPolicy.multi_run(partitions.months_per_run),
        "io_manager_key": io_manager,
        "dagster_type": BY_MONTH,
        "owners": OWNERS,
        "metadata": {PARTITIONED_BY: "month"},
    }


def show_newest(context: dg.AssetExecutionContext, **metadata: Any) -> None:
    """Metadata for the run's newest partition alone: each partition's event would repeat them."""
    context.add_asset_metadata(metadata, partition_key=context.partition_keys[-1])


def show_each(context: dg.AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Each partition's own numbers by its key; None is left out.

    The page plots them for the newest 120 days of the calendar: of a source that has ended, none.
    """
    for key, values in metadata.items():
        known = {name: value for name, value in values.items() if value is not None}
        context.add_asset_metadata(known, partition_key=key)


def preview(frame: pl.DataFrame, rows: int = 12) -> dg.MarkdownMetadataValue:
    """The last rows of a frame as a table for the page."""
    shown = frame.tail(rows)

    def text(value: Any) -> str:
        return f"{value:.6g}" if isinstance(value, float) else str("" if value is None else value)

    lines = [
        " | ".join(shown.columns),
        " | ".join("---" for _ in shown.columns),
        *(" | ".join(map(text, row)) for row in shown.iter_rows()),
    ]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))
