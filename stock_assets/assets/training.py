"""Group training: a month's data, its tuned model, and the version that it became.

Every asset here loops over its months and slices each by its own cut-off, because a run over many
months is handed the union of their upstream sessions.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

import dagster as dg
import polars as pl
from pydantic import Field

from stock_assets.assets.attributes import JSON, PARQUET, by_month, preview
from stock_assets.errors import SettingsError
from stock_assets.forecasting.features import FEATURE_SCHEMA
from stock_assets.forecasting.promotion import decide
from stock_assets.forecasting.splits import (
    SplitSessions,
    labelled_rows,
    rows_between,
    split_sessions,
)
from stock_assets.partitions import (
    Partitions,
    check_unbroken,
    month_key,
    month_of,
    months_before,
)
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.settings import Settings


class TrainingData(dg.Config):
    """How far a month's data reach."""

    train_through: str | None = Field(
        None,
        description="A session inside the month (YYYY-MM-DD): retrain with data through its close."
        " Left out: through the last session before the month.",
    )


def training_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    calendar = partitions.calendar
    history = dg.TimeWindowPartitionMapping(
        start_offset=-settings.train_months,
        end_offset=-1,
        allow_nonexistent_upstream_partitions=True,
    )
    from_features = {"features": dg.AssetIn(partition_mapping=history)}

    def boundaries(month: str, config: TrainingData) -> SplitSessions:
        start = month_of(month)
        through = calendar.last_before(start)
        if config.train_through:
            through = date.fromisoformat(config.train_through)
            if month_key(through) != month:
                raise SettingsError(
                    f"train_through {through} does not lie in the month {month}; materialise"
                    f" {month_key(through)} instead"
                )
        first = max(months_before(start, settings.train_months), partitions.first)
        return split_sessions(calendar, through, first, settings.test_sessions)

    def labelled_months(
        context: dg.AssetExecutionContext, config: TrainingData, features: pl.DataFrame
    ) -> Iterator[tuple[str, SplitSessions, pl.DataFrame]]:
        """Each month with its boundaries and the labelled rows known by its cut-off."""
        for month in context.partition_keys:
            split = boundaries(month, config)
            # Sessions inside the month are no upstream partitions: only a retrain reads them.
            inside = calendar.between(month_of(month), split.trained_through)
            extra = [
                context.load_asset_value(
                    dg.AssetKey("features"), python_type=pl.DataFrame, partition_key=str(session)
                )
                for session in inside
            ]
            known = pl.concat([features, *extra]).filter(
                pl.col("session").is_between(split.train_first, split.trained_through)
            )
            check_unbroken(
                calendar,
                "features",
                known["session"],
                split.trained_through,
                split.trained_through,
            )
            yield month, split, labelled_rows(known.select(*FEATURE_SCHEMA), calendar)

    @dg.asset(
        **by_month(partitions, PARQUET),
        group_name="training",
        kinds={"parquet", "s3", "polars"},
        ins=from_features,
    )
    def train_set(
        context: dg.AssetExecutionContext, config: TrainingData, features: pl.DataFrame
    ) -> dg.MaterializeResult:
        """Labelled rows whose labels were realised before the test set starts.

        The label of a session is what the next one realised, in units of volatility.
        """
        value = {
            month: rows_between(rows, split.train_first, split.train_last)
            for month, split, rows in labelled_months(context, config, features)
        }
        return dg.MaterializeResult(value=value, metadata=_extent(value))

    @dg.asset(
        **by_month(partitions, PARQUET),
        group_name="training",
        kinds={"parquet", "s3", "polars"},
        ins=from_features,
    )
    def test_set(
        context: dg.AssetExecutionContext, config: TrainingData, features: pl.DataFrame
    ) -> dg.MaterializeResult:
        """The last labelled sessions before the month (30 by default): looked at once, by the gate."""
        value = {
            month: rows_between(rows, split.test_first, split.test_last)
            for month, split, rows in labelled_months(context, config, features)
        }
        return dg.MaterializeResult(value=value, metadata=_extent(value))

    @dg.asset(
        **by_month(partitions, JSON),
        group_name="training",
        kinds={"scikitlearn", "optuna", "mlflow"},
    )
    def tuned_model(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        train_set: dict[str, pl.DataFrame],
        test_set: dict[str, pl.DataFrame],
    ) -> dg.MaterializeResult:
        """An MLflow run: search on the train set, one look at the test set, the model of both.

        Training the same data with the same code and settings again finds the first one's run.
        """
        from stock_assets.assets.study import train_or_reuse

        with model_registry.tracking.linked_to(context):
            value = {
                month: train_or_reuse(
                    context, settings, model_registry.tracking, month, train, test_set[month]
                )
                for month, train in train_set.items()
            }
        return dg.MaterializeResult(value=value, metadata=_study_metadata(value))

    @dg.asset(
        **by_month(partitions, JSON), group_name="training", kinds={"mlflow", "json", "s3"}
    )
    def registered_version(
        context: dg.AssetExecutionContext,
        model_registry: dg.ResourceParam[ModelRegistry],
        tuned_model: dict[str, dict[str, Any]],
    ) -> dg.MaterializeResult:
        """A version in MLflow's registry, approved by the gate or rejected, with the reason."""
        value = {}
        for month, study in tuned_model.items():
            decision = decide(study["test_skill"], settings.gate_margin)
            version = model_registry.register(study, decision)
            context.log.info(f"{month}: version {version} {decision.reason}")
            value[month] = {
                "name": model_registry.name,
                "version": version,
                "approved": decision.approved,
                "reason": decision.reason,
                **{name: study[name] for name in ("month", "trained_through", "mlflow_run_id")},
            }
        last = value[max(value)]
        return dg.MaterializeResult(
            value=value,
            metadata={
                "version": last["version"],
                "approved": last["approved"],
                "reason": last["reason"],
                "versions": preview(
                    pl.DataFrame(list(value.values())).select(
                        "month", "version", "approved", "reason", "trained_through"
                    )
                ),
            },
        )

    return [train_set, test_set, tuned_model, registered_version]


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


def _study_metadata(value: dict[str, dict[str, Any]]) -> dict[str, Any]:
    last = value[max(value)]
    columns = ("month", "test_rmse_return", "test_rmse_return_random_walk", "test_skill", "slope")
    return {
        "mlflow_run_id": last["mlflow_run_id"],
        "test_rmse_return": last["test_rmse_return"],
        "test_rmse_return_random_walk": last["test_rmse_return_random_walk"],
        "test_skill": last["test_skill"],
        "studies": preview(
            pl.DataFrame([{name: study[name] for name in columns} for study in value.values()])
        ),
    }
