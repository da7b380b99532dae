"""People's decisions about who serves, with an audit trail in the versions' tags."""

import json
from datetime import UTC, date, datetime

from stock_assets.errors import RegistryError
from stock_assets.forecasting.promotion import (
    PARTS,
    ModelVersion,
    Part,
    Promotion,
    before_the_last,
    champion_of,
)
from stock_assets.resources.mlflow_database import RegisteredRow
from stock_assets.resources.model_settings import differing_settings, settings_of_versions
from stock_assets.resources.registered_versions import RegisteredVersions
from stock_assets.resources.version_tags import (
    GATE_TAGS,
    SETTINGS_TAG,
    as_version,
    promotion_tags,
)
from stock_assets.settings import Settings


def promote(
    registered: RegisteredVersions,
    settings: Settings,
    number: int,
    after: date,
    who: str,
    why: str = "promoted",
    parts: tuple[Part, ...] = PARTS,
) -> ModelVersion:
    """Lets a version forecast from the sessions after `after`, until a newer one is approved.

    Args:
        registered: With the version.
        settings: Of this deployment.
        number: Of the version, approved by the gate or not.
        after: The newest session: forecasts up to it stay what they were.
        who: For the audit trail.
        why: The same.
        parts: What it serves with.

    Raises:
        RegistryError: There is no such version, or it was made with other settings.
    """
    name = registered.name
    every = {v.version: v for v in registered.every()}
    known = {n: v for n, v in every.items() if registered.is_own(v)}
    if number not in known:
        raise _not_promotable(name, settings, every.get(number), number, sorted(known))
    tags = known[number].tags
    versions = [as_version(v) for v in known.values()]
    point, intervals = (champion_of(versions, part) for part in PARTS)
    of_point, of_intervals = (tags.get(GATE_TAGS[part]) for part in PARTS)
    now = datetime.now(UTC)
    entry = (
        f"{now:%Y-%m-%dT%H:%M:%SZ} {why} by {who} after {after} for"
        f" {' and '.join(parts)}; champion was {point.version if point else 'none'}, of"
        f" intervals {intervals.version if intervals else 'none'}; gate said {of_point},"
        f" of intervals {of_intervals}"
    )
    promotion = Promotion(after, now.isoformat(), parts)
    registered.set_tags(number, promotion_tags(tags, promotion, entry))
    registered.point_aliases()
    return next(as_version(v) for v in registered.own() if v.version == number)


def _not_promotable(
    name: str,
    settings: Settings,
    other: RegisteredRow | None,
    number: int,
    own: list[int],
) -> RegistryError:
    """Why a version is none of this deployment's, and what to do."""
    there_are = ", ".join(map(str, own)) or "none yet"
    if other is None:
        return RegistryError(f"{name} has no version {number}; there are {there_are}")
    then = json.loads(other.tags.get(SETTINGS_TAG, "{}"))
    if differences := differing_settings(then, settings):
        today = settings_of_versions(settings)
        names = [name for name, value in today.items() if then.get(name) != value]
        old = " ".join(f"STOCK_ASSETS_{n.upper()}={then[n]}" for n in names if n in then)
        return RegistryError(
            f"{name} version {number} was made with other settings"
            f" ({'; '.join(differences)}); set {old} to serve with it, or promote one of these"
            f" settings ({there_are})"
        )
    return RegistryError(
        f"{name} version {number} does not say with which settings it was made: an older"
        f" release made it; promote one that does ({there_are}), or train"
        f" {other.tags.get('month')} again"
    )


def former_versions(registered: RegisteredVersions) -> dict[Part, ModelVersion]:
    """Who would serve, by part, without the version that came to serve last.

    A part that the version did not serve with, or that had no version before it, is left out.

    Raises:
        RegistryError: There was none before it.
    """
    former = before_the_last([as_version(v) for v in registered.own()])
    if not former:
        raise RegistryError(
            f"{registered.name} has no approved version before the champion to go back to; promote"
            " one by its number"
        )
    return former


def rollback(
    registered: RegisteredVersions, settings: Settings, after: date, who: str
) -> dict[Part, ModelVersion]:
    """Takes back the version that came to serve last: those before it serve with its parts.

    Returns:
        Who serves now by part, see `former_versions`; a part that is left out stays as it is.

    Raises:
        RegistryError: There was none before it.
    """
    former = former_versions(registered)
    versions = [as_version(v) for v in registered.own()]
    was = ", ".join(
        dict.fromkeys(str(v.version) for p in former if (v := champion_of(versions, p)))
    )
    for version in dict.fromkeys(former.values()):
        parts = tuple(part for part, one in former.items() if one == version)
        promote(registered, settings, version.version, after, who, f"rollback from {was}", parts)
    return former
