"""Which version may serve, and which one serves a given session."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

RANDOM_WALK = "random_walk"
"""The family that forecasts no change of the log price."""


@dataclass(frozen=True, order=True)
class ModelVersion:
    """A registered version, ordered by the data that it knows, then by number."""

    trained_through: date
    version: int
    approved: bool
    family: str


@dataclass(frozen=True)
class GateDecision:
    approved: bool
    reason: str


def decide(test_skill: float, margin: float) -> GateDecision:
    """The gate: a version may serve unless it is worse than the random walk by more than `margin`.

    Args:
        test_skill: 1 - RMSE / RMSE of the random walk, on the test set. NaN is rejected.
        margin: A share of RMSE; 0.01 lets a version be one per cent worse.
    """
    words = f"test skill {test_skill:+.3%} against the random walk, margin -{margin:.3%}"
    if test_skill >= -margin:
        return GateDecision(True, f"approved: {words}")
    return GateDecision(False, f"rejected: {words}")


def version_for(versions: Iterable[ModelVersion], session: date) -> ModelVersion | None:
    """The version that forecasts from `session`: the newest approved one trained before it.

    Strictly before: a version that has seen the session's own close can only be made after the
    forecast of that session, so a live run could not have used it, and a backfill must not either.
    None where there is no such version.
    """
    able = (v for v in versions if v.approved and v.trained_through < session)
    return max(able, default=None)
