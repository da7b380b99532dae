"""When silence is news: a forecast that is due and not there, errors that stopped coming.

One episode for both: a dead job causes first the one, then the other. Pure: state in, state and
event out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from stock_assets.market.sessions import ExchangeCalendar


class Absence(StrEnum):
    MISSING = "missing"
    ARRIVED = "arrived"


@dataclass(frozen=True)
class AbsenceState:
    """The due session whose absence was told; empty when all is there."""

    told: str = ""


@dataclass(frozen=True)
class Due:
    """What must be there by now.

    Args:
        session: The newest session whose forecasts and errors are due, YYYY-MM-DD.
        unscored: Due sessions after the newest one with an RMSE.
        forecast_is_there: Whether there are forecasts from that session's close.
    """

    session: str
    unscored: int
    forecast_is_there: bool


def notice(
    state: AbsenceState, due: Due, most_unscored: int
) -> tuple[AbsenceState, Absence | None, tuple[str, ...]]:
    """Says once that something is missing, and once that all is there again.

    Args:
        state: As left by the last call.
        due: What is due now.
        most_unscored: Due sessions that may lack an RMSE before that is news.

    Returns:
        The state, what to tell, and what is missing in words.
    """
    reasons = []
    if not due.forecast_is_there:
        reasons.append(f"no forecast from the close of {due.session}, which is due")
    if due.unscored > most_unscored:
        reasons.append(f"no RMSE of the last {due.unscored} sessions up to {due.session}")
    if reasons and not state.told:
        return AbsenceState(due.session), Absence.MISSING, tuple(reasons)
    # Some unscored sessions within the allowance are no news, but no end of an absence either.
    if state.told and not reasons and not due.unscored:
        return AbsenceState(), Absence.ARRIVED, ()
    return state, None, tuple(reasons)


def due_session(keys: Sequence[str], now: datetime, due_hour: int) -> str | None:
    """The newest session that had to be forecast and scored by now.

    Args:
        keys: Session keys of the past, ascending, none from the future.
        now: In the exchange's time zone.
        due_hour: Hour of the day after a session by which its results are due.
    """
    newest_over = str((now - timedelta(days=1, hours=due_hour)).date())
    return next((key for key in reversed(keys) if key <= newest_over), None)


def sessions_after(calendar: ExchangeCalendar, scored: str, due: str) -> int:
    """How many sessions there are after `scored`, up to and with `due`."""
    if due <= scored:
        return 0
    between = calendar.between(date.fromisoformat(scored), date.fromisoformat(due))
    return sum(str(session) > scored for session in between)
