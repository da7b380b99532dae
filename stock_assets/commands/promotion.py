"""`stock-assets promote` and `rollback`: a person decides who serves from now on."""

import getpass
from collections.abc import Mapping

from stock_assets.deployment import load_partitions
from stock_assets.forecasting.promotion import (
    INTERVALS,
    PARTS,
    POINT,
    ModelVersion,
    Part,
    champion_of,
)
from stock_assets.resources.model_registry import ModelRegistry
from stock_assets.resources.object_store import open_store
from stock_assets.settings import Settings

_NAMES: dict[Part, str] = {POINT: "point forecasts", INTERVALS: "intervals"}


def promote_version(settings: Settings, number: int) -> str:
    """Promotes a version; a line that says what holds now."""
    newest = load_partitions(settings).newest
    with open_store(settings) as store:
        version = ModelRegistry(settings, store).promote(number, newest, getpass.getuser())
    return (
        f"{_named(version)} is champion for sessions after {newest}, until a newer version is"
        " approved; older forecasts stay"
    )


def roll_back(settings: Settings, *, dry_run: bool = False) -> str:
    """Takes back the version that came to serve last; lines that say what was and what is.

    With `dry_run` what would be, and nothing changes.
    """
    newest = load_partitions(settings).newest
    with open_store(settings) as store:
        registry = ModelRegistry(settings, store)
        versions = registry.versions()
        now = (
            registry.former_versions() if dry_run else registry.rollback(newest, getpass.getuser())
        )
    before = {part: champion_of(versions, part) for part in PARTS}
    until = f"for sessions after {newest}, until a newer version is approved; older forecasts stay"
    return "\n".join(
        [
            *(_said(part, before[part], now, dry_run=dry_run) for part in PARTS),
            f"would hold {until}; nothing was changed" if dry_run else f"holds {until}",
        ]
    )


def _said(
    part: Part, was: ModelVersion | None, now: Mapping[Part, ModelVersion], *, dry_run: bool
) -> str:
    before = _named(was) if was else "no version"
    if part not in now:
        return f"{_NAMES[part]}: {before}, as before"
    return f"{_NAMES[part]}: was {before}, {'would be' if dry_run else 'is'} {_named(now[part])}"


def _named(version: ModelVersion) -> str:
    return f"version {version.version} (trained through {version.trained_through})"
