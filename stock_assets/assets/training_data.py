"""Group training, its data: the labelled rows that a month's model may see.

Every asset here loops over its months and slices each by its own cut-off, because a run over many
months is handed the union of their upstream sessions.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from stock_assets.assets.attributes import PARQUET, by_month, preview
from stock_assets.errors import SettingsError
from stock_assets.forecasting.features import FEATURE_SCHEMA
from stock_assets.forecasting.splits import (
    SplitSessions,
    labelled_rows,
    rows_between,
    split_sessions,
)
from stock_assets.partitions import (
    Partitions,
    month_key,
    month_of,
    months_before,
)
from stock_assets.resources.io_managers import HISTORY
from stock_assets.settings import Settings

_MOST_SESSIONS_OF_A_MONTH = 23


class TrainingData(dg.Config):
    """How far a month's data reach."""

    train_through: str | None = Field(
        None,
        description="A session inside the month (YYYY-MM-DD): retrain with data through its close."
        " Left out: through the last session before the month.",
    )


def split_of_month(
    settings: Settings, partitions: Partitions, month: str, config: TrainingData
) -> SplitSessions:
    """The boundaries of a month's training.

    Raises:
        SettingsError: `train_through` lies in another month.
        NotEnoughHistoryError: Nothing is left to train on.
    """
    start = month_of(month)
    through = partitions.calendar.last_before(start)
    if config.train_through:
        through = date.fromisoformat(config.train_through)
        if month_key(through) != month:
            raise SettingsError(
                f"train_through {through} does not lie in the month {month}; materialise"
                f" {month_key(through)} instead"
            )
    first = max(months_before(start, settings.train_months), partitions.first)
    return split_sessions(
        partitions.calendar, through, first, settings.test_sessions, settings.horizon
    )


def labelled_month(
    context: dg.AssetExecutionContext,
    partitions: Partitions,
    split: SplitSessions,
    features: pl.DataFrame,
    horizon: int,
) -> pl.DataFrame:
    """The labelled rows known by a month's cut-off.

    Args:
        context: Of the running asset.
        partitions: Of the project.
        split: The month's boundaries.
        features: Rows of the sessions before the month, and perhaps of others.
        horizon: Sessions that a label spans.
    """
    # Sessions inside the month are no upstream partitions: only a retrain reads them.
    newest: date = features.select(pl.col("session").max()).item()
    inside = partitions.calendar.between(newest + timedelta(days=1), split.trained_through)
    extra = [
        context.load_asset_value(
            dg.AssetKey("features"), python_type=pl.DataFrame, partition_key=str(session)
        )
        for session in inside
    ]
    known = pl.concat([features, *extra]).filter(
        pl.col("session").is_between(split.train_first, split.trained_through)
    )
    return labelled_rows(known.select(*FEATURE_SCHEMA), partitions.calendar, horizon)


def training_data_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    month_before = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
    )
    history = _MOST_SESSIONS_OF_A_MONTH * settings.train_months
    arguments = {
        **by_month(partitions, PARQUET),
        "group_name": "training",
        "kinds": {"parquet", "s3", "polars"},
        "ins": {
            "features": dg.AssetIn(partition_mapping=month_before, metadata={HISTORY: history})
        },
    }

    def months(
        context: dg.AssetExecutionContext, config: TrainingData, features: pl.DataFrame
    ) -> Iterator[tuple[str, SplitSessions, pl.DataFrame]]:
        for month in context.partition_keys:
            split = split_of_month(settings, partitions, month, config)
            rows = labelled_month(context, partitions, split, features, settings.horizon)
            yield month, split, rows

    @dg.asset(**arguments)
    def train_set(
        context: dg.AssetExecutionContext, config: TrainingData, features: pl.DataFrame
    ) -> dg.MaterializeResult:
        """Labelled rows whose labels were realised before the test set starts.

        The label of a session is the return over the forecast's horizon, in units of volatility.
        """
        value = {
            month: rows_between(rows, split.train_first, split.train_last)
            for month, split, rows in months(context, config, features)
        }
        return dg.MaterializeResult(value=value, metadata=_extent(value))

    @dg.asset(**arguments)
    def test_set(
        context: dg.AssetExecutionContext, config: TrainingData, features: pl.DataFrame
    ) -> dg.MaterializeResult:
        """The last labelled sessions before the month (30 by default), which only the gate sees."""
        value = {
            month: rows_between(rows, split.test_first, split.test_last)
            for month, split, rows in months(context, config, features)
        }
        return dg.MaterializeResult(value=value, metadata=_extent(value))

    return [train_set, test_set]


def _extent(value: dict[str, pl.DataFrame]) -> dict[str, Any]:
    """Which sessions each month's rows span."""
    table = pl.DataFrame(
        [
            {
                "month": month,
                "rows": rows.height,
                "tickers": rows["ticker"].n_unique(),
                "first_session": rows["session"].min(),
                "last_session": rows["session"].max(),
                "last_label_session": rows["label_session"].max(),
            }
            for month, rows in value.items()
        ]
    )
    return {"months": preview(table)}
