"""Which sessions and months one deployment has, as its settings and its source say."""

from stock_assets.market.sessions import load_calendar
from stock_assets.partitions import Partitions
from stock_assets.resources.prices import price_source
from stock_assets.settings import Settings


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
