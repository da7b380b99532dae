"""What all assets of a kind share: how they are keyed, stored, owned and backfilled."""

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from stock_assets.assets.columns import is_described
from stock_assets.local.dagster_private.metadata import add_partition_metadata
from stock_assets.market.bars import PRICES
from stock_assets.partitions import Partitions
from stock_assets.report.numbers import price
from stock_assets.resources.io_managers import PARTITION_COLUMN, PARTITIONED_BY
from stock_assets.resources.one_by_one import OneByOne

PARQUET, JSON, PAGE = "parquet_io_manager", "json_io_manager", "page_io_manager"
FORECASTS = "forecast_io_manager"
OWNERS = ["team:forecasting"]
_MANY = 100_000

FRAME = dg.PythonObjectDagsterType(pl.DataFrame, name="Frame", description="A polars frame.")
HTML = dg.PythonObjectDagsterType(str, name="Html", description="A page.")
BY_MONTH = dg.PythonObjectDagsterType(
    OneByOne, name="ByMonth", description="A value per month, stored as each is made."
)


def by_session(
    partitions: Partitions,
    columns: Mapping[str, Any],
    column: str = "session",
) -> dict[str, Any]:
    """Arguments of an asset with one Parquet object per session; `column` holds the session.

    `columns`: see `columns_of`.
    """
    return {
        "partitions_def": partitions.sessions,
        "backfill_policy": dg.BackfillPolicy.multi_run(partitions.sessions_per_run),
        "io_manager_key": PARQUET,
        "dagster_type": FRAME,
        "owners": OWNERS,
        "metadata": {PARTITIONED_BY: "session", PARTITION_COLUMN: column, **columns},
    }


def by_month(
    partitions: Partitions, io_manager: str, columns: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Arguments of an asset with one object per month, whose value is `OneByOne`.

    `columns`: of frames, see `columns_of`.
    """
    return {
        "partitions_def": partitions.months,
        "backfill_policy": dg.BackfillPolicy.multi_run(partitions.months_per_run),
        "io_manager_key": io_manager,
        "dagster_type": BY_MONTH,
        "owners": OWNERS,
        "metadata": {PARTITIONED_BY: "month", **(columns or {})},
    }


def show_newest(context: dg.AssetExecutionContext, **metadata: Any) -> None:
    """Metadata for the run's newest partition alone: each partition's event would repeat them."""
    context.add_asset_metadata(metadata, partition_key=context.partition_keys[-1])


def show_each(context: dg.AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]) -> None:
    """Each partition's own numbers and tables by its key; None is left out.

    What is given as metadata of the result would stand in every partition's event, a run's totals
    among them. The page plots numbers for the newest 120 days of the calendar: of a source that has
    ended, none. Four digits are more than any of them means.
    """
    add_partition_metadata(
        context,
        {
            key: {
                name: float(f"{value:.4g}") if isinstance(value, float) else value
                for name, value in values.items()
                if value is not None
            }
            for key, values in metadata.items()
        },
    )


def by_key(frame: pl.DataFrame, column: str, keys: Iterable[str]) -> dict[str, pl.DataFrame]:
    """The rows of each partition; none for a key that no row is of."""
    parts = frame.partition_by(column, as_dict=True, maintain_order=True)
    found = {str(key): part for (key,), part in parts.items()}
    return {key: found.get(key, frame.clear()) for key in keys}


def preview(frame: pl.DataFrame, rows: int = 12) -> dg.MarkdownMetadataValue:
    """The last rows of a frame as a table for the page."""
    shown = frame.tail(rows)

    lines = [
        " | ".join(shown.columns),
        " | ".join("---" for _ in shown.columns),
        *(" | ".join(map(_written, shown.columns, row)) for row in shown.iter_rows()),
    ]
    return dg.MetadataValue.md("\n".join(f"| {line} |" for line in lines))


def _as_cell(text: str) -> str:
    """What stands in one cell as it is: neither the end of a line or cell, nor markup."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\|`\[])", r"\\\1", line)


def _written(column: str, value: Any) -> str:
    """A cell, with the digits that it means: of what was revised, enough to see the difference."""
    if not isinstance(value, float):
        return _as_cell("" if value is None else str(value))
    if column.endswith("_usd") or column in PRICES:
        return price(value)
    if abs(value) >= _MANY:
        return f"{value:,.0f}"
    return f"{value:.4g}" if is_described(column) else f"{value:.6g}"
