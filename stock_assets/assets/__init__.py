"""The graph. An asset takes its inputs, calls the domain, returns value and metadata."""

import dagster as dg

from stock_assets.assets.features import feature_assets
from stock_assets.assets.forecasts import forecast_assets
from stock_assets.assets.market_data import market_data_assets
from stock_assets.assets.models import model_assets
from stock_assets.assets.report import report_assets
from stock_assets.assets.training_data import training_data_assets
from stock_assets.partitions import Partitions
from stock_assets.planning.lineage import Lineage
from stock_assets.settings import Settings


def all_assets(settings: Settings, partitions: Partitions) -> list[dg.AssetsDefinition]:
    """Every asset, in the order in which data flows, each with the hash of its code."""
    assets = [
        *market_data_assets(partitions),
        *feature_assets(settings, partitions),
        *training_data_assets(settings, partitions),
        *model_assets(settings, partitions),
        *forecast_assets(settings, partitions),
        *report_assets(settings, partitions),
    ]
    return list(dg.map_asset_specs(_with_code, assets))


def _with_code(spec: dg.AssetSpec) -> dg.AssetSpec:
    # What is stale partition by partition the plan tells; Dagster's page knows no such thing.
    return spec.replace_attributes(code_version=Lineage.code(spec.key.to_user_string()) or None)
