"""Which version serves a given session: one its point forecast, maybe another its intervals."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

RANDOM_WALK = "random_walk"
"""The family that forecasts no change of the log price."""

Part = Literal["point", "intervals"]
POINT: Part = "point"
INTERVALS: Part = "intervals"
PARTS: tuple[Part, ...] = (POINT, INTERVALS)
"""What a version can serve with. Each part is judged, approved and served by itself."""


@dataclass(frozen=True, order=True)
class Promotion:
    """A person's decision that a version serves the sessions after `after`, with some parts.

    `at` (ISO 8601, UTC) tells which of two on one day is the later.
    """

    after: date
    at: str
    parts: tuple[Part, ...] = PARTS


@dataclass(frozen=True, order=True)
class ModelVersion:
    """A registered version, ordered by the data that it knows, then by number.

    Args:
        trained_through: The last session that it has seen.
        version: Its number.
        approved: Its point forecasts, by the gate.
        family: What its forecasts are.
        promotions: By people, in any order. They say nothing about the past: older forecasts, made
            anew, stay what they were.
        intervals_approved: Its intervals, by the gate.
        fingerprint: Of the training that it was made of.
        month: Whose version it is. Of two that know the same data, that of the later month serves,
            in whatever order they were registered.
    """

    trained_through: date
    version: int
    approved: bool
    family: str
    promotions: tuple[Promotion, ...] = ()
    intervals_approved: bool = False
    fingerprint: str = field(default="", compare=False)
    month: str = field(default="", compare=False)

    def is_approved(self, part: Part) -> bool:
        return self.approved if part == POINT else self.intervals_approved


def version_for(
    versions: Iterable[ModelVersion], session: date, part: Part = POINT
) -> ModelVersion | None:
    """The version whose part serves from `session`: the newest approved one trained before it.

    Strictly before: a version that has seen the session's own close can only be made after the
    forecast of that session, so a live run could not have used it, and a backfill must not either.
    A version that a person promoted counts as new as its promotion, until a newer one is approved.
    None where there is no such version.
    """
    able = _able(versions, session, part)
    return max(able)[2] if able else None


class Succession:
    """Who serves with a part, session by session: `version_for` of many sessions."""

    def __init__(self, versions: Iterable[ModelVersion], part: Part) -> None:
        self._able = sorted(_able(versions, date.max, part))
        self._after = [decided.after for decided, _, _ in self._able]

    def on(self, session: date) -> ModelVersion | None:
        place = bisect_left(self._after, session)
        return self._able[place - 1][2] if place else None


def _able(
    versions: Iterable[ModelVersion], session: date, part: Part
) -> list[tuple[Promotion, tuple[str, int], ModelVersion]]:
    """What may serve a session, with when it came to do so: the greatest serves."""
    return [
        (decided, (version.month, version.version), version)
        for version in versions
        for decided in _decisions(version, part)
        if decided.after < session
    ]


def _decisions(version: ModelVersion, part: Part) -> list[Promotion]:
    """When it came to serve: by the gate and by people; nobody promotes what knows the future."""
    by_gate = [Promotion(version.trained_through, "")] if version.is_approved(part) else []
    return [
        *by_gate,
        *(
            Promotion(max(p.after, version.trained_through), p.at)
            for p in version.promotions
            if part in p.parts
        ),
    ]


def champion_of(versions: Iterable[ModelVersion], part: Part = POINT) -> ModelVersion | None:
    """The version that serves whatever session comes next."""
    return version_for(versions, date.max, part)


def challenger_of(versions: Iterable[ModelVersion]) -> ModelVersion | None:
    """The newest by its data, approved or not, where it knows more than the champion.

    None where the champion is the newest: what came before it challenges nobody.
    """
    known = list(versions)
    champion, newest = champion_of(known), max(known, default=None)
    return newest if newest and newest != champion else None


def before_the_last(versions: Iterable[ModelVersion]) -> dict[Part, ModelVersion]:
    """Who would serve without the version that came to serve last, for each part that it serves.

    A part for which there is nobody else is left out.
    """
    known = list(versions)
    able = [found for part in PARTS for found in _able(known, date.max, part)]
    if not able:
        return {}
    last = max(able)[2]
    others = [version for version in known if version != last]
    former = {part: champion_of(others, part) for part in PARTS if champion_of(known, part) == last}
    return {part: version for part, version in former.items() if version}
