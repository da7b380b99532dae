"""Selections of the graph that run together. A run has sessions or months as keys, or none."""

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import dagster as dg

from stock_assets.asset_keys import Asset, asset_key, asset_name
from stock_assets.automation.executors import executor_of
from stock_assets.local.dagster_private.runs import UnresolvedAssetJobDefinition
from stock_assets.partitions import Partitions
from stock_assets.settings import Settings

DAILY_ASSETS = (Asset.RAW_PRICES, Asset.FEATURES, Asset.FORECAST_RMSE, Asset.DAILY_FORECAST)
MONTHLY_ASSETS = (Asset.TRAIN_SET, Asset.TEST_SET, Asset.TUNED_MODEL, Asset.REGISTERED_VERSION)
REFETCH_ASSETS = (Asset.RAW_PRICES,)
DAILY_JOB, MONTHLY_JOB, REFETCH_JOB = "daily_job", "monthly_job", "refetch_job"
REPORT_JOB = "report_job"
"""Bare names: `Settings.named` makes the names of them."""
COMMAND_TAG = "stock_assets/command"
"""Of runs inside a command: which."""
DATASET_TAG = "stock_assets/dataset"
"""Several deployments may share an instance of Dagster."""
SOURCE_TAG = "stock_assets/source"
"""Where the prices of a run's dataset come from."""
TICK_TAG = "stock_assets/tick"
"""Of a schedule: what one tick asked for is made in that order (`dagster.yaml`)."""
WHY_TAG = "stock_assets/why"
"""Why a schedule asked for a run."""


def all_jobs(settings: Settings, partitions: Partitions) -> list[UnresolvedAssetJobDefinition]:
    """The four jobs. Their runs say whose prices they are about."""
    dataset = settings.dataset_name
    tags = {DATASET_TAG: dataset, SOURCE_TAG: settings.source}

    def selected(*assets: str) -> dg.AssetSelection:
        return dg.AssetSelection.assets(*(asset_key(dataset, asset) for asset in assets))

    job = partial(_partitioned, executor_of(settings), tags)
    return [
        job(
            settings.named(DAILY_JOB),
            selected(*DAILY_ASSETS),
            partitions.sessions,
            "A session's prices, features, errors of past forecasts, new forecasts.",
        ),
        job(
            settings.named(MONTHLY_JOB),
            selected(*MONTHLY_ASSETS),
            partitions.months,
            "A month's data, its tuned model, and the version that it becomes.",
        ),
        job(
            settings.named(REFETCH_JOB),
            selected(*REFETCH_ASSETS),
            partitions.sessions,
            "Prices of past sessions once more, to see what the source revised.",
        ),
        dg.define_asset_job(
            settings.named(REPORT_JOB),
            selection=selected(Asset.FORECAST_REPORT),
            tags=tags,
            executor_def=dg.in_process_executor,  # one step
            description="The report, made of what is stored.",
        ),
    ]


def _partitioned(
    executor: dg.ExecutorDefinition,
    tags: dict[str, str],
    name: str,
    selection: dg.AssetSelection,
    partitions_def: dg.TimeWindowPartitionsDefinition,
    description: str,
) -> UnresolvedAssetJobDefinition:
    with warnings.catch_warnings():
        # Deprecated, and needed: a schedule built from a job that infers its partitions runs Friday
        # again on Sunday and Monday.
        warnings.filterwarnings("ignore", message="Parameter `partitions_def`")
        return dg.define_asset_job(
            name,
            selection=selection,
            tags=tags,
            partitions_def=partitions_def,
            executor_def=executor,
            description=description,
        )


def config_of(settings: Settings, given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Run configuration of what assets are given, by their bare names."""
    return {"ops": {settings.named(one): {"config": dict(its)} for one, its in given.items()}}


def is_of_dataset(run: dg.DagsterRun, dataset: str) -> bool:
    """Whether a run is about a dataset, by its tag or its assets; one that says nothing is.

    So is one that the page started of several datasets, or of assets that are none of ours too.
    """
    named = {key.path[0] for key in run.asset_selection or () if len(key.path) > 1}
    return run.tags.get(DATASET_TAG, dataset) == dataset and (not named or dataset in named)


def assets_asked_of(run: dg.DagsterRun) -> set[str]:
    """The bare names of the assets that a run was asked for; none where it was its job's all."""
    return {asset_name(key) for key in run.asset_selection or ()}
