"""What every asset is keyed by: the session or the month that it describes, never the day of a run.

Both definitions are in the exchange's time zone; no key lies in the future. Weekends are excluded
by cron and holidays by date, because a weekday cron would stretch Friday's window to Monday and map
a month's last Friday to two months.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cached_property

import dagster as dg

from stock_assets.errors import MissingPartitionsError
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.market.months import MONTH_FORMAT
from stock_assets.market.sessions import ExchangeCalendar, load_calendar
from stock_assets.resources.prices import price_source
from stock_assets.settings import Settings

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
                f"there is no session yet: the first is {self.first}; see `stock-assets doctor`"
            )
        return session_of(key)

    @cached_property
    def months(self) -> dg.TimeWindowPartitionsDefinition:
        """Months in which a session lies; the current one exists from its first day on."""
        end = _next_month(self.last) if self.last else None
        return dg.TimeWindowPartitionsDefinition(
            start=datetime.combine(self.first.replace(day=1), time()),
            end=datetime.combine(end, time()) if end else None,
            fmt=MONTH_FORMAT,
            cron_schedule="0 0 1 * *",
            timezone=self.calendar.time_zone,
            # A source that ends may end in the current month; none is added after its end.
            end_offset=1,
        )


def _next_month(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1)


def session_of(key: str) -> date:
    """The session that a partition key names."""
    return date.fromisoformat(key)


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags of one run over all partitions from `first` to `last`."""
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


def load_partitions(settings: Settings) -> Partitions:
    """Partitions from the settings, or from the source where they leave it open."""
    calendar = load_calendar(settings.calendar)
    source = price_source(settings)
    first = settings.first_session or source.first_session()
    ends = source.last_session()
    return Partitions(
        calendar,
        first,
        settings.last_session or ends,
        is_live=ends is None,
        sessions_per_run=settings.sessions_per_run,
        months_per_run=settings.months_per_run,
    )


def training_months(settings: Settings, partitions: Partitions) -> TrainingMonths:
    """What the calendar says of the training of a deployment's months."""
    return TrainingMonths(
        partitions.calendar,
        partitions.first,
        settings.train_months,
        settings.test_sessions,
        settings.min_train_sessions,
        settings.horizon,
        settings.retune_months,
    )
