"""The names of the assets, each written once.

An asset's own function bears its name, and so do the parameters by which others take it: Dagster
finds them by these. Plain strings, because Dagster writes no enum into its database.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

if TYPE_CHECKING:
    from dagster import AssetKey


class Asset:
    """As they lie in the store and stand on the page, in the order in which data flows."""

    RAW_PRICES: Final = "raw_prices"
    FEATURES: Final = "features"
    TRAIN_SET: Final = "train_set"
    TEST_SET: Final = "test_set"
    TUNED_MODEL: Final = "tuned_model"
    REGISTERED_VERSION: Final = "registered_version"
    DAILY_FORECAST: Final = "daily_forecast"
    FORECAST_RMSE: Final = "forecast_rmse"
    FORECAST_REPORT: Final = "forecast_report"


def asset_page(path: Sequence[str], partition: str = "") -> str:
    """The address of an asset within Dagster's page.

    Args:
        path: Of its key: `AssetKey.path`.
        partition: Shown when it opens; left out: the asset as a whole.
    """
    page = "/".join(("/assets", *(quote(part, safe="") for part in path)))
    return f"{page}?view=partitions&partition={quote(partition, safe='')}" if partition else page


HINDSIGHT_FORECAST: Final = "hindsight_forecast"
"""Where forecasts of issued sessions lie that were made again. It is no asset of its own."""


def asset_key(dataset: str, asset: str) -> "AssetKey":
    """By what Dagster knows an asset of a dataset: `sample/features`.

    Several datasets may share an instance, and none may show another one's state. Stores have a
    folder per dataset, so objects and all that speaks of them keep the bare name.
    """
    from dagster import AssetKey

    return AssetKey([dataset, asset])


def asset_name(key: "AssetKey") -> str:
    """The bare name of an asset, whatever its dataset."""
    return key.path[-1]
