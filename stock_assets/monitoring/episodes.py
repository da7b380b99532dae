"""When an error is news: a breach opens an episode, and only its end allows another.

One episode for the model, not one per ticker: a wild day breaches in many tickers at once, and that
is one problem. What breaches later joins the open episode without a word of its own; the episode
ends when the last of them is calm. Pure: state in, state and event out. The sensor keeps the state
in its cursor; the report replays a range.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from stock_assets.monitoring.thresholds import (
    Measure,
    Readings,
    Thresholds,
    in_breach,
    known,
)


class Event(StrEnum):
    BREACH = "breach"
    RECOVERY = "recovery"


@dataclass(frozen=True)
class Breach:
    """A ticker and measure in breach.

    Args:
        since: Session.
        calm: Judged sessions in a row below the limit minus hysteresis.
        unknown: Sessions in a row without a value.
    """

    since: str
    calm: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class EpisodeState:
    """What is remembered between sessions.

    Args:
        newest_session: The newest one judged, YYYY-MM-DD; empty before the first.
        opened: The session that opened the present episode; empty outside of one.
        open: What is in breach, by "ticker measure".
        affected: Everything that was in breach during the episode.
        retrain_due: The episode's retrain was not requested yet.
    """

    newest_session: str = ""
    opened: str = ""
    open: Mapping[str, Breach] = field(default_factory=dict)
    affected: tuple[str, ...] = ()
    retrain_due: bool = False


@dataclass(frozen=True)
class Rules:
    """When an episode ends.

    Args:
        recovery_sessions: Calm sessions in a row, of each that was in breach.
        forget_after: Sessions without a value after which a breach is void: as many as the rolling
            window has, because then nothing of it is left. So a retired ticker ends its breach.
    """

    recovery_sessions: int
    forget_after: int


def judge(
    state: EpisodeState, session: str, readings: Readings, thresholds: Thresholds, rules: Rules
) -> tuple[EpisodeState, Event | None]:
    """Judges one session's errors.

    Args:
        state: As left by the last call.
        session: YYYY-MM-DD; one not newer than the newest judged is old news and changes nothing.
        readings: None, NaN or a ticker left out says nothing: neither breach nor calm.
        thresholds: As they are now: an open episode follows a limit that was changed.
        rules: When an episode ends.
    """
    if session <= state.newest_session:
        return state, None
    judged = replace(state, newest_session=session)
    still_open = {
        name: after
        for name, before in state.open.items()
        if (after := _follow(before, *_parts(name), readings, thresholds, rules))
    }
    for name in in_breach(readings, thresholds):
        still_open.setdefault(name, Breach(since=session))
    if not still_open:
        ended = replace(judged, opened="", open={}, affected=(), retrain_due=False)
        return ended, Event.RECOVERY if state.opened else None
    judged = replace(
        judged,
        open=still_open,
        affected=tuple(dict.fromkeys((*state.affected, *still_open))),
    )
    if state.opened:
        return judged, None
    return replace(judged, opened=session, retrain_due=True), Event.BREACH


def _follow(
    before: Breach,
    ticker: str,
    measure: Measure,
    readings: Readings,
    thresholds: Thresholds,
    rules: Rules,
) -> Breach | None:
    """The breach after another session; None where it is over."""
    calm_limit = thresholds.calm_limit(ticker, measure)
    if calm_limit is None:
        return None  # nobody watches it any more
    value = known(readings.get(ticker, {}).get(measure))
    if value is None:
        after = replace(before, unknown=before.unknown + 1)
        return after if after.unknown < rules.forget_after else None
    after = replace(before, unknown=0, calm=before.calm + 1 if value <= calm_limit else 0)
    return after if after.calm < rules.recovery_sessions else None


def _parts(name: str) -> tuple[str, Measure]:
    ticker, _, measure = name.rpartition(" ")
    return ticker, Measure(measure)
