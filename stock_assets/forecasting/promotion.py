"""Which version serves a given session."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

RANDOM_WALK = "random_walk"
"""The family that forecasts no change of the log price."""


@dataclass(frozen=True, order=True)
class ModelVersion:
    """A registered version, ordered by the data that it knows, then by number.

    Args:
        trained_through: The last session that it has seen.
        version: Its number.
        approved: By the gate or by a person.
        family: What its forecasts are.
        promoted_after: The newest session when a person promoted it; None where nobody did.
        promoted_at: When that was (ISO 8601, UTC): of two on one day the later holds.
    """

    trained_through: date
    version: int
    approved: bool
    family: str
    promoted_after: date | None = None
    promoted_at: str = ""

    @property
    def serves_after(self) -> date:
        """It may forecast from the sessions after this one.

        A promotion says nothing about the past: older forecasts, made anew, stay what they were.
        """
        return max(self.trained_through, self.promoted_after or self.trained_through)


def version_for(versions: Iterable[ModelVersion], session: date) -> ModelVersion | None:
    """The version that forecasts from `session`: the newest approved one trained before it.

    Strictly before: a version that has seen the session's own close can only be made after the
    forecast of that session, so a live run could not have used it, and a backfill must not either.
    A version that a person promoted counts as new as its promotion, until a newer one is approved.
    None where there is no such version.
    """
    return champion_of(v for v in versions if v.serves_after < session)


def champion_of(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The newest of the approved."""
    return max((v for v in versions if v.approved), key=_newness, default=None)


def challenger_of(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The newest by its data, approved or not, that is not the champion."""
    known = list(versions)
    champion = champion_of(known)
    return max((v for v in known if v != champion), default=None)


def _newness(version: ModelVersion) -> tuple[date, str, int]:
    return version.serves_after, version.promoted_at, version.version
