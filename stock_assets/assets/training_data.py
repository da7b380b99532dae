"""Group training, its data: the labelled rows that a month's model may see.

Every asset here loops over its months and reads for each what lies before its own cut-off: Dagster
hands a run over many months the union of their upstream sessions, and one month's rows at a time
are what memory is asked for.
"""

from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from stock_assets.asset_keys import asset_name
from stock_assets.assets.attributes import PARQUET, by_month, show_each
from stock_assets.assets.column_lineage import LABELLED_OF, column_lineage
from stock_assets.assets.columns import columns_of
from stock_assets.assets.training_checks import (
    NO_TEST_LABEL_AFTER,
    NO_TRAIN_LABEL_IN_TEST,
    TEST_IS_WHOLE,
    check_test_labels,
    check_test_sessions,
    check_train_labels,
)
from stock_assets.deployment import training_months
from stock_assets.errors import SettingsError
from stock_assets.forecasting.splits import (
    LABELLED_SCHEMA,
    SplitSessions,
    labelled_rows,
    rows_between,
)
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.market.months import month_key
from stock_assets.partitions import Partitions
from stock_assets.planning.lineage import THROUGH
from stock_assets.resources.object_store import ObjectStore
from stock_assets.resources.one_by_one import OneByOne, StoredPartitions
from stock_assets.resources.requests import request_retrain
from stock_assets.resources.stamper import Stamper
from stock_assets.settings import Settings


class TrainingData(dg.Config):
    """How far a month's data reach."""

    train_through: str | None = Field(
        None,
        description="A session inside the month (YYYY-MM-DD): retrain with data through its close."
        " Left out: through the last session before the month.",
    )


def cut_off(training: TrainingMonths, month: str, config: TrainingData) -> date:
    """The last session that a month's model may look at.

    Raises:
        SettingsError: `train_through` lies in another month.
    """
    if not config.train_through:
        return training.cut_off(month)
    through = date.fromisoformat(config.train_through)
    if month_key(through) != month:
        raise SettingsError(
            f"train_through {through} does not lie in the month {month}; materialise"
            f" {month_key(through)} instead"
        )
    return through


def labelled_month(
    partitions: Partitions,
    first: date,
    through: date,
    features: StoredPartitions,
    horizon: int,
) -> pl.DataFrame:
    """The labelled rows from `first` on that are known by the close of `through`.

    Sessions inside a retrained month are no upstream partitions in Dagster's sense; they are read
    like the others.

    Raises:
        MissingPartitionsError: Features of a session were never materialised.
    """
    rows = features.rows_between(str(first), str(through))
    return labelled_rows(rows, partitions.calendar, horizon)


def training_data_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    training = training_months(settings, partitions)
    month_before = dg.TimeWindowPartitionMapping(
        start_offset=-1, end_offset=-1, allow_nonexistent_upstream_partitions=True
    )
    lineage = column_lineage(settings.dataset_name, LABELLED_SCHEMA, LABELLED_OF)
    arguments = {
        **by_month(partitions, PARQUET, columns_of(LABELLED_SCHEMA, lineage)),
        "group_name": "training",
        "kinds": {"parquet", "s3", "polars"},
        # The month before is what Dagster orders by; what is read goes back further.
        "ins": {"features": dg.AssetIn(partition_mapping=month_before)},
    }
    nothing = pl.DataFrame(schema=LABELLED_SCHEMA)

    def months(
        context: dg.AssetExecutionContext,
        config: TrainingData,
        stamper: Stamper,
        features: StoredPartitions,
        span: Callable[[SplitSessions], tuple[date, date]],
        made: dict[str, tuple[SplitSessions, pl.DataFrame]],
    ) -> OneByOne:
        """Each month's rows of a span, or none where it has too little history.

        What checks look at of those that have rows is left in `made`, when all are stored.
        """

        def values() -> Iterator[tuple[str, pl.DataFrame]]:
            extents: dict[str, dict[str, Any]] = {}
            for month in context.partition_keys:
                through = cut_off(training, month, config)
                rows = nothing
                shortfall = training.shortfall(month, through)
                if shortfall:
                    context.log.info(f"{month}: not enough history: {shortfall}")
                else:
                    split = training.split(month, through)
                    first, last = span(split)
                    rows = rows_between(
                        labelled_month(partitions, first, through, features, settings.horizon),
                        first,
                        last,
                    )
                    made[month] = split, rows.select("session", "label_session")
                extents[month] = _extent(rows)
                if config.train_through:
                    asset = asset_name(context.asset_key)
                    stamper.mark(asset, month, **{THROUGH: str(through)})
                yield month, rows
            show_each(context, extents)

        return OneByOne(values())

    @dg.asset(**arguments, check_specs=[NO_TRAIN_LABEL_IN_TEST])
    def train_set(
        context: dg.AssetExecutionContext,
        config: TrainingData,
        stamper: dg.ResourceParam[Stamper],
        object_store: dg.ResourceParam[ObjectStore],
        features: StoredPartitions,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """Labelled rows whose labels were realised before the test set starts.

        The label of a session is the return over the forecast's horizon, in units of volatility.
        Without rows where the month has too little history: then the random walk forecasts.
        """
        if config.train_through:
            for month in context.partition_keys:
                request_retrain(object_store, month, cut_off(training, month, config))
        made: dict[str, tuple[SplitSessions, pl.DataFrame]] = {}
        spans = (lambda split: (split.train_first, split.train_last)), made
        yield dg.MaterializeResult(value=months(context, config, stamper, features, *spans))
        yield check_train_labels(made)

    @dg.asset(**arguments, check_specs=[NO_TEST_LABEL_AFTER, TEST_IS_WHOLE])
    def test_set(
        context: dg.AssetExecutionContext,
        config: TrainingData,
        stamper: dg.ResourceParam[Stamper],
        features: StoredPartitions,
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        """The last labelled sessions before the month (30 by default), which only the gate sees."""
        made: dict[str, tuple[SplitSessions, pl.DataFrame]] = {}
        spans = (lambda split: (split.test_first, split.test_last)), made
        yield dg.MaterializeResult(value=months(context, config, stamper, features, *spans))
        yield check_test_labels(made)
        yield check_test_sessions(made, settings.test_sessions)

    return [train_set, test_set]


def _extent(rows: pl.DataFrame) -> dict[str, Any]:
    """Which sessions a month's rows span."""
    spans = {
        "first_session": rows["session"].min(),
        "last_session": rows["session"].max(),
        "last_label_session": rows["label_session"].max(),
    }
    return {
        "tickers": rows["ticker"].n_unique(),
        **{name: day and str(day) for name, day in spans.items()},
    }
