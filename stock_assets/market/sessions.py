"""Trading sessions: which dates an exchange trades on. The only clock of this project.

A *session* is a `datetime.date` on which the exchange trades. Vocabulary after exchange_calendars.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from importlib import resources
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from stock_assets.errors import NotASessionError, OutsideCalendarError, UnknownCalendarError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SATURDAY = 5


@dataclass(frozen=True)
class ExchangeCalendar:
    """The sessions of one exchange between `first` and `last`, both inclusive."""

    exchange: str
    time_zone: str
    open: str
    close: str
    first: date
    last: date
    weekday_holidays: tuple[date, ...]

    @cached_property
    def sessions(self) -> tuple[date, ...]:
        """Every session, ascending."""
        holidays = frozenset(self.weekday_holidays)
        days = (self.first + timedelta(days=n) for n in range((self.last - self.first).days + 1))
        return tuple(day for day in days if day.weekday() < _SATURDAY and day not in holidays)

    @cached_property
    def days(self) -> "NDArray[np.int64]":
        """The same as days since 1970-01-01, to search in by the million."""
        import numpy as np

        # Of the tuple of dates it would take fifty times as long.
        days = np.arange(np.datetime64(self.first), np.datetime64(self.last) + 1)
        holidays = np.array(self.weekday_holidays, dtype="datetime64[D]")
        return days[np.is_busday(days, holidays=holidays)].astype(np.int64)

    def _check_covered(self, day: date) -> None:
        if not self.first <= day <= self.last:
            raise OutsideCalendarError(
                f"{day} is outside the sessions of {self.exchange} ({self.first}..{self.last});"
                " regenerate it with `make calendars` or choose other dates"
            )

    def is_session(self, day: date) -> bool:
        self._check_covered(day)
        at = bisect_left(self.sessions, day)
        return at < len(self.sessions) and self.sessions[at] == day

    def check_session(self, day: date) -> None:
        """Refuses a day without trading.

        Raises:
            NotASessionError: Names the sessions beside it.
        """
        if not self.is_session(day):
            why = f"a {day:%A}" if day.weekday() >= _SATURDAY else "a holiday"
            raise NotASessionError(
                f"{day} is not a session of {self.exchange} but {why}; {self.neighbours(day)}"
            )

    def neighbours(self, day: date) -> str:
        """The sessions before and after a day that is none, in words."""
        at = bisect_left(self.sessions, day)
        beside = " and ".join(map(str, self.sessions[max(0, at - 1) : at + 1]))
        return f"the nearest are {beside}"

    def between(self, first: date, last: date) -> tuple[date, ...]:
        """Sessions from `first` to `last`, both inclusive; neither needs to be a session."""
        self._check_covered(first)
        self._check_covered(last)
        return self.sessions[bisect_left(self.sessions, first) : bisect_right(self.sessions, last)]

    def offset(self, session: date, by: int) -> date:
        """The session `by` sessions after `session` (before it where negative).

        Raises:
            NotASessionError: `session` is not one.
            OutsideCalendarError: The answer is not in the table.
        """
        self.check_session(session)
        at = bisect_left(self.sessions, session) + by
        if not 0 <= at < len(self.sessions):
            raise OutsideCalendarError(
                f"{by:+d} sessions from {session} is outside the session table of {self.exchange}"
                f" ({self.first}..{self.last})"
            )
        return self.sessions[at]

    def next_session(self, session: date) -> date:
        return self.offset(session, 1)

    def previous_session(self, session: date) -> date:
        return self.offset(session, -1)

    def last_before(self, day: date) -> date:
        """The last session strictly before `day`, which need not be a session."""
        self._check_covered(day)
        at = bisect_left(self.sessions, day)
        if at == 0:
            raise OutsideCalendarError(f"no session of {self.exchange} before {day} in the table")
        return self.sessions[at - 1]

    def opens_at(self, session: date) -> datetime:
        """When a session opens, by today's hours: one that opens later on its day does so here."""
        return datetime.combine(session, time.fromisoformat(self.open), ZoneInfo(self.time_zone))

    def window_from(self, session: date, count: int) -> tuple[date, ...]:
        """`session` and those after it, `count` in all; fewer where the table ends."""
        at = bisect_left(self.sessions, session)
        return self.sessions[at : at + count]

    def ordinals(self, sessions: Sequence[date]) -> dict[date, int]:
        """Position of each given session in the calendar: their differences count sessions."""
        return {session: bisect_left(self.sessions, session) for session in sessions}


def packaged_calendars() -> list[str]:
    """The exchanges whose tables come with the package."""
    folder = resources.files("stock_assets.market.calendars")
    return sorted(f.name.removesuffix(".json") for f in folder.iterdir() if f.name.endswith("json"))


@lru_cache
def load_calendar(exchange: str) -> ExchangeCalendar:
    """Reads a packaged session table.

    Raises:
        UnknownCalendarError: There is none, or an older release's; the message says what to do.
    """
    if exchange not in packaged_calendars():
        raise UnknownCalendarError(
            f"no session table for exchange {exchange!r}; packaged: "
            f"{', '.join(packaged_calendars())}; add one with "
            f"`python -m stock_assets.market.calendars {exchange}`"
        )
    text = resources.files("stock_assets.market.calendars").joinpath(f"{exchange}.json").read_text()
    table = json.loads(text)
    if "open" not in table:
        raise UnknownCalendarError(
            f"the session table of {exchange} is an older release's and does not say when it opens;"
            f" make it again with `python -m stock_assets.market.calendars {exchange}`"
        )
    return ExchangeCalendar(
        exchange=table["exchange"],
        time_zone=table["time_zone"],
        open=table["open"],
        close=table["close"],
        first=date.fromisoformat(table["first"]),
        last=date.fromisoformat(table["last"]),
        weekday_holidays=tuple(date.fromisoformat(day) for day in table["weekday_holidays"]),
    )
