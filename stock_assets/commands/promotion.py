"""`stock-assets promote` and `rollback`: a person decides who serves from now on."""

import getpass
from collections.abc import Callable
from datetime import date

from stock_assets.forecasting.promotion import ModelVersion
from stock_assets.partitions import load_partitions
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings


def promote_version(settings: Settings, number: int) -> str:
    """Promotes a version; a line that says what holds now."""
    return _decided(
        settings, lambda registry, after: registry.promote(number, after, getpass.getuser())
    )


def roll_back(settings: Settings) -> str:
    """Promotes the champion before the present one; a line that says what holds now."""
    return _decided(settings, lambda registry, after: registry.rollback(after, getpass.getuser()))


def _decided(settings: Settings, decide: Callable[[ModelRegistry, date], ModelVersion]) -> str:
    newest = date.fromisoformat(load_partitions(settings).sessions.get_last_partition_key() or "")
    with open_store(settings) as store:
        version = decide(ModelRegistry(settings, store), newest)
    return (
        f"version {version.version} (trained through {version.trained_through}) is champion for"
        f" sessions after {newest}, until a newer version is approved; older forecasts stay"
    )
