"""Which version serves a given session."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

RANDOM_WALK = "random_walk"
"""The family that forecasts no change of the log price."""


@dataclass(frozen=True, order=True)
class Promotion:
    """A person's decision that a version serves the sessions after `after`.

    `at` (ISO 8601, UTC) tells which of two on one day is the later.
    """

    after: date
    at: str


@dataclass(frozen=True, order=True)
class ModelVersion:
    """A registered version, ordered by the data that it knows, then by number.

    Args:
        trained_through: The last session that it has seen.
        version: Its number.
        approved: By the gate.
        family: What its forecasts are.
        promotions: By people, in any order. They say nothing about the past: older forecasts, made
            anew, stay what they were.
    """

    trained_through: date
    version: int
    approved: bool
    family: str
    promotions: tuple[Promotion, ...] = ()


def version_for(versions: Iterable[ModelVersion], session: date) -> ModelVersion | None:
    """The version that forecasts from `session`: the newest approved one trained before it.

    Strictly before: a version that has seen the session's own close can only be made after the
    forecast of that session, so a live run could not have used it, and a backfill must not either.
    A version that a person promoted counts as new as its promotion, until a newer one is approved.
    None where there is no such version.
    """
    able = [
        (decided, version.version, version)
        for version in versions
        for decided in _decisions(version)
        if decided.after < session
    ]
    return max(able)[2] if able else None


def _decisions(version: ModelVersion) -> list[Promotion]:
    """When it came to serve: by the gate and by people; nobody promotes what knows the future."""
    by_gate = [Promotion(version.trained_through, "")] if version.approved else []
    return [
        *by_gate,
        *(Promotion(max(p.after, version.trained_through), p.at) for p in version.promotions),
    ]


def champion_of(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The version that serves whatever session comes next."""
    return version_for(versions, date.max)


def challenger_of(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The newest by its data, approved or not, that is not the champion."""
    known = list(versions)
    champion = champion_of(known)
    return max((v for v in known if v != champion), default=None)
