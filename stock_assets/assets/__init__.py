"""The graph. An asset takes its inputs, calls the domain, returns value and metadata.

The assets are written with bare names. In one place, here, their keys get the dataset, and their
groups, operations and resources get the names that `Settings.named` gives them.
"""

from collections.abc import Iterable
from functools import partial

import dagster as dg

from stock_assets.asset_keys import asset_key, asset_name
from stock_assets.assets.features import feature_assets
from stock_assets.assets.forecasts import forecast_assets
from stock_assets.assets.market_data import market_data_assets
from stock_assets.assets.models import model_assets
from stock_assets.assets.report import report_assets
from stock_assets.assets.training_data import training_data_assets
from stock_assets.errors import spelled_for
from stock_assets.local.dagster_private.own_names import with_own_names
from stock_assets.partitions import Partitions
from stock_assets.planning.lineage import Lineage
from stock_assets.settings import Settings


def all_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """Every asset, in the order in which data flows, each with the hash of its code."""
    assets = [
        *market_data_assets(settings, partitions),
        *feature_assets(settings, partitions),
        *training_data_assets(settings, partitions),
        *model_assets(settings, partitions),
        *forecast_assets(settings, partitions),
        *report_assets(settings, partitions),
    ]

    def with_code(spec: dg.AssetSpec) -> dg.AssetSpec:
        # What is stale partition by partition the plan tells; Dagster's page knows no such thing.
        code = Lineage.code(asset_name(spec.key)) or None
        return spec.replace_attributes(
            code_version=code, group_name=settings.named(str(spec.group_name))
        )

    said = partial(spelled_for, settings.spelled)
    assets = of_dataset(settings.dataset_name, dg.map_asset_specs(with_code, assets))
    return [with_own_names(one, settings.named, within=said) for one in assets]


def of_dataset(dataset: str, assets: Iterable[dg.AssetsDefinition]) -> list[dg.AssetsDefinition]:
    """The same with the dataset in the key of each asset, edge and check."""
    assets = list(assets)
    keys = {key: asset_key(dataset, asset_name(key)) for one in assets for key in one.keys}
    return [one.with_attributes(asset_key_replacements=keys) for one in assets]
