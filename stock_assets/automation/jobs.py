"""Selections of the graph that run together. A run has sessions or months as keys, or none."""

import warnings

import dagster as dg

from stock_assets.asset_keys import Asset
from stock_assets.local.dagster_private.runs import UnresolvedAssetJobDefinition
from stock_assets.partitions import Partitions

DAILY_ASSETS = (Asset.RAW_PRICES, Asset.FEATURES, Asset.FORECAST_RMSE, Asset.DAILY_FORECAST)
MONTHLY_ASSETS = (Asset.TRAIN_SET, Asset.TEST_SET, Asset.TUNED_MODEL, Asset.REGISTERED_VERSION)
REFETCH_ASSETS = (Asset.RAW_PRICES,)
DAILY_JOB, MONTHLY_JOB, REFETCH_JOB = "daily_job", "monthly_job", "refetch_job"
REPORT_JOB = "report_job"
COMMAND_TAG = "stock_assets/command"
"""Of runs inside a command: which."""
DATASET_TAG = "stock_assets/dataset"
"""Several deployments may share an instance of Dagster."""
TICK_TAG = "stock_assets/tick"
"""Of a schedule: what one tick asked for is made in that order (`dagster.yaml`)."""
WHY_TAG = "stock_assets/why"
"""Why a schedule asked for a run."""


def all_jobs(partitions: Partitions) -> list[UnresolvedAssetJobDefinition]:
    """The four jobs."""
    return [
        _job(
            DAILY_JOB,
            DAILY_ASSETS,
            partitions.sessions,
            "A session's prices, features, errors of past forecasts, new forecasts.",
        ),
        _job(
            MONTHLY_JOB,
            MONTHLY_ASSETS,
            partitions.months,
            "A month's data, its tuned model, and the version that it becomes.",
        ),
        _job(
            REFETCH_JOB,
            REFETCH_ASSETS,
            partitions.sessions,
            "Prices of past sessions once more, to see what the source revised.",
        ),
        dg.define_asset_job(
            REPORT_JOB,
            selection=dg.AssetSelection.assets(Asset.FORECAST_REPORT),
            executor_def=dg.in_process_executor,
            description="The report, made of what is stored.",
        ),
    ]


def _job(
    name: str,
    assets: tuple[str, ...],
    partitions_def: dg.TimeWindowPartitionsDefinition,
    description: str,
) -> UnresolvedAssetJobDefinition:
    with warnings.catch_warnings():
        # Deprecated, and needed: a schedule built from a job that infers its partitions runs Friday
        # again on Sunday and Monday.
        warnings.filterwarnings("ignore", message="Parameter `partitions_def`")
        return dg.define_asset_job(
            name,
            selection=dg.AssetSelection.assets(*assets),
            partitions_def=partitions_def,
            executor_def=dg.in_process_executor,
            description=description,
        )
