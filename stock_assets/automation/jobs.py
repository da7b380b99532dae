"""Selections of the graph that run together. A run has sessions or months as keys, never both."""

from typing import TYPE_CHECKING

import dagster as dg

from stock_assets.partitions import Partitions

if TYPE_CHECKING:  # dagster exports no public name for what define_asset_job returns
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

DAILY_ASSETS = ("raw_prices", "features", "forecast_rmse", "daily_forecast")
MONTHLY_ASSETS = ("train_set", "test_set", "tuned_model", "registered_version")
DAILY_JOB, MONTHLY_JOB = "daily_job", "monthly_job"


def all_jobs(partitions: Partitions) -> list["UnresolvedAssetJobDefinition"]:
    """The two jobs. They carry their partitions: a schedule skips holidays only then."""
    return [
        dg.define_asset_job(
            DAILY_JOB,
            selection=dg.AssetSelection.assets(*DAILY_ASSETS),
            partitions_def=partitions.sessions,
            executor_def=dg.in_process_executor,
            description="A session's prices, features, errors of past forecasts, new forecasts.",
        ),
        dg.define_asset_job(
            MONTHLY_JOB,
            selection=dg.AssetSelection.assets(*MONTHLY_ASSETS),
            partitions_def=partitions.months,
            executor_def=dg.in_process_executor,
            description="A month's data, its tuned model, and the version that it becomes.",
        ),
    ]
