"""What every asset is keyed by: the session or the month that it describes, never the day of a run.

Both definitions are in the exchange's time zone; no key lies in the future. Weekends are excluded
by cron and holidays by date, because a weekday cron would stretch Friday's window to Monday and map
a month's last Friday to two months.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from typing import Any

import dagster as dg

from stock_assets.errors import MissingPartitionsError
from stock_assets.local.dagster_private.runs import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
)
from stock_assets.market.months import MONTH_FORMAT, month_key, month_of, months_before
from stock_assets.market.sessions import ExchangeCalendar

__all__ = [
    "Partitions",
    "month_key",
    "month_of",
    "months_before",
    "partition_keys",
    "range_tags",
    "session_of",
]

SESSION_FORMAT = "%Y-%m-%d"


@dataclass(frozen=True)
class Partitions:
    """The sessions and months of one deployment.

    Args:
        calendar: Of the exchange.
        first: First session.
        last: Last session of a source that ends, else None.
        is_live: Whether the source goes on.
        sessions_per_run: How many one run of a backfill takes: what a failure can lose.
        months_per_run: The same.
    """

    calendar: ExchangeCalendar
    first: date
    last: date | None
    is_live: bool = False
    sessions_per_run: int = 250
    months_per_run: int = 12

    @cached_property
    def sessions(self) -> dg.TimeWindowPartitionsDefinition:
        end = self.last + timedelta(days=1) if self.last else None
        # Only the holidays in between: Dagster writes the whole definition into its database once
        # per check and partition of every run, which for 1,260 sessions took longer than the rest.
        holidays = (
            day
            for day in self.calendar.weekday_holidays
            if self.first <= day <= (self.last or self.calendar.last)
        )
        return dg.TimeWindowPartitionsDefinition(
            start=self.first.isoformat(),
            end=end.isoformat() if end else None,
            fmt=SESSION_FORMAT,
            cron_schedule="0 0 * * *",
            timezone=self.calendar.time_zone,
            exclusions=[
                "0 0 * * 0",
                "0 0 * * 6",
                *(datetime.combine(day, time()) for day in holidays),
            ],
        )

    @property
    def newest(self) -> date:
        """The last session that there is by now.

        Raises:
            MissingPartitionsError: The first is still to come.
        """
        key = self.sessions.get_last_partition_key()
        if key is None:
            raise MissingPartitionsError(
                f"there is no session yet: the first is {self.first}; set an earlier"
                " STOCK_ASSETS_FIRST_SESSION"
            )
        return session_of(key)

    @cached_property
    def months(self) -> dg.TimeWindowPartitionsDefinition:
        """Months in which a session lies; the current one exists from its first day on."""
        end = months_before(self.last, -1) if self.last else None
        return dg.TimeWindowPartitionsDefinition(
            start=datetime.combine(self.first.replace(day=1), time()),
            end=datetime.combine(end, time()) if end else None,
            fmt=MONTH_FORMAT,
            cron_schedule="0 0 1 * *",
            timezone=self.calendar.time_zone,
            # A source that ends may end in the current month; none is added after its end.
            end_offset=1,
        )


def partition_keys(definition: dg.PartitionsDefinition[Any]) -> tuple[str, ...]:
    """Every key that there is by now, ascending.

    Dagster walks through all windows each time that it is asked: a sixth of a second for 13 years
    of sessions, and a run asks dozens of times.
    """
    return _keys_through(definition, definition.get_last_partition_key())


@lru_cache(maxsize=8)
def _keys_through(definition: dg.PartitionsDefinition[Any], _last: str | None) -> tuple[str, ...]:
    return tuple(definition.get_partition_keys())


def session_of(key: str) -> date:
    """The session that a partition key names."""
    return date.fromisoformat(key)


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags of one run over all partitions from `first` to `last`."""
    return {
        ASSET_PARTITION_RANGE_START_TAG: first,
        ASSET_PARTITION_RANGE_END_TAG: last,
    }
