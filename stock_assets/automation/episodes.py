"""When an error is news: a breach opens an episode, and only its end allows another.

Pure: state in, state and event out. The sensor keeps the state in its cursor.
"""

import math
from dataclasses import dataclass, replace
from enum import StrEnum


class Event(StrEnum):
    BREACH = "breach"
    RECOVERY = "recovery"


@dataclass(frozen=True)
class EpisodeState:
    """What the sensor remembers: the newest session judged, and whether it was in breach."""

    newest_session: str = ""
    in_breach: bool = False


def judge(
    state: EpisodeState, session: str, rmse: float | None, threshold: float
) -> tuple[EpisodeState, Event | None]:
    """Judges one session's RMSE.

    Args:
        state: As left by the last call.
        session: YYYY-MM-DD; one not newer than the newest judged is old news and changes nothing.
        rmse: None or NaN where nothing was scored: neither breach nor recovery.
        threshold: RMSE above it is a breach.
    """
    if session <= state.newest_session:
        return state, None
    judged = replace(state, newest_session=session)
    if rmse is None or math.isnan(rmse):
        return judged, None
    breach = rmse > threshold
    event = None
    if breach != state.in_breach:
        event = Event.BREACH if breach else Event.RECOVERY
    return replace(judged, in_breach=breach), event
