"""Which keys there ought to be: of a range that someone asks for, of a dataset as it stands."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

from stock_assets.asset_keys import Asset
from stock_assets.errors import SettingsError
from stock_assets.forecasting.features import BAR_SESSIONS
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.market.months import month_key, month_of, months_before
from stock_assets.partitions import Partitions
from stock_assets.planning.lineage import MONTH_ASSETS, Lineage
from stock_assets.planning.plan import Wanted
from stock_assets.settings import Settings


@dataclass(frozen=True)
class Range:
    """A range of target sessions, and all that must exist upstream of it.

    `targets`: sessions that are scored. `forecasts`: sessions forecast from, from a horizon before
    the first target on; the newest are not scored yet. `months`: those whose version may forecast
    there, and those whose searches these use. `features`, `prices`: with the history that these
    need.
    """

    targets: tuple[date, ...]
    forecasts: tuple[date, ...]
    months: tuple[str, ...]
    features: tuple[date, ...]
    prices: tuple[date, ...]

    def wanted(self) -> Wanted:
        """The keys of each asset."""
        return Wanted(
            {
                Asset.RAW_PRICES: list(map(str, self.prices)),
                Asset.FEATURES: list(map(str, self.features)),
                **{asset: list(self.months) for asset in MONTH_ASSETS},
                Asset.DAILY_FORECAST: list(map(str, self.forecasts)),
                Asset.FORECAST_RMSE: list(map(str, self.targets)),
            }
        )


def plan_range(
    settings: Settings,
    partitions: Partitions,
    lineage: Lineage,
    first: date,
    last: date,
    also: Collection[str] = (),
) -> Range:
    """What the target sessions from `first` to `last` need, and months that are wanted anyway.

    Raises:
        SettingsError: No session lies in the range, or the source has none of it.
    """
    calendar, newest = partitions.calendar, partitions.newest
    wanted = calendar.between(first, last)
    targets = tuple(s for s in wanted if partitions.first <= s <= newest)
    if not targets or first > last:
        raise SettingsError(
            f"no session to run in {first}..{last}: {settings.source} has sessions"
            f" {partitions.first}..{newest} of {calendar.exchange}"
        )

    def since(day: date, sessions_earlier: int = 0) -> tuple[date, ...]:
        start = calendar.between(max(day, partitions.first), newest)[0]
        ordinal = max(0, len(calendar.between(partitions.first, start)) - 1 - sessions_earlier)
        return calendar.between(partitions.first, targets[-1])[ordinal:]

    forecasts = since(targets[0], settings.horizon)
    serving = {month_key(session) for session in forecasts}
    begin, end = month_key(partitions.first), max(serving)
    wanted_months = serving | {month for month in also if begin <= month <= end}
    months = tuple(lineage.rules.months.with_lenders(wanted_months))
    oldest = months_before(month_of(months[0]), settings.train_months)
    # Models learn from the months before, intervals from the sessions before.
    history = since(targets[0], settings.horizon + adaptive_history(settings.horizon))
    features = max(since(oldest), history, key=len)
    return Range(targets, forecasts, months, features, since(features[0], BAR_SESSIONS))


def extent(
    settings: Settings,
    partitions: Partitions,
    lineage: Lineage,
    stored: Mapping[str, Collection[str]],
) -> Range | None:
    """What a dataset ought to hold: all from its first stored forecast on, without a hole.

    Versions of earlier months that are stored are among it, as they may judge those after them.

    Up to the newest session of a source that goes on, else up to the newest that anything is stored
    of. None where there is nothing to go by.

    Args:
        settings: Of the deployment.
        partitions: Of the deployment.
        lineage: Of the deployment.
        stored: The keys of each asset.
    """
    forecasts = stored.get(Asset.DAILY_FORECAST, ())
    reached = [
        max(keys)
        for asset in (Asset.DAILY_FORECAST, Asset.FORECAST_RMSE)
        if (keys := stored.get(asset))
    ]
    if partitions.is_live:
        last = partitions.newest
    elif reached:
        last = date.fromisoformat(max(reached))
    else:
        return None
    first = date.fromisoformat(min(forecasts)) if forecasts else last
    later = partitions.calendar.window_from(first, settings.horizon + 1)
    months = stored.get(Asset.REGISTERED_VERSION, ())
    return plan_range(settings, partitions, lineage, min(later[-1], last), last, months)
