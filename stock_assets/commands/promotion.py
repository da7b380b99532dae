"""`stock-assets promote` and `rollback`: a person decides who serves from now on."""

import getpass
from collections.abc import Callable, Mapping
from datetime import date

from stock_assets.deployment import load_partitions
from stock_assets.forecasting.promotion import INTERVALS, PARTS, POINT, ModelVersion, Part
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings

_NAMES: dict[Part, str] = {POINT: "point forecasts", INTERVALS: "intervals"}


def promote_version(settings: Settings, number: int) -> str:
    """Promotes a version; a line that says what holds now."""

    def decide(registry: ModelRegistry, after: date) -> Mapping[Part, ModelVersion]:
        return dict.fromkeys(PARTS, registry.promote(number, after, getpass.getuser()))

    return _decided(settings, decide)


def roll_back(settings: Settings) -> str:
    """Takes back the version that came to serve last; a line that says what holds now."""
    return _decided(settings, lambda registry, after: registry.rollback(after, getpass.getuser()))


def _decided(
    settings: Settings, decide: Callable[[ModelRegistry, date], Mapping[Part, ModelVersion]]
) -> str:
    newest = load_partitions(settings).newest
    with open_store(settings) as store:
        serving = decide(ModelRegistry(settings, store), newest)
    said = []
    for version in dict.fromkeys(serving.values()):
        parts = [part for part in PARTS if serving.get(part) == version]
        of = "" if len(parts) == len(PARTS) else f" of {_NAMES[parts[0]]}"
        said.append(
            f"version {version.version} (trained through {version.trained_through}) is"
            f" champion{of} for sessions after {newest}"
        )
    stays = "".join(f"; {_NAMES[part]} stay as they are" for part in PARTS if part not in serving)
    return f"{'; '.join(said)}, until a newer version is approved{stays}; older forecasts stay"
