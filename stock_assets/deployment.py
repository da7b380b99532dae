"""What settings and source make of a deployment: its sessions and months, and its lineage."""

from datetime import date

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.features import BAR_SESSIONS
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.market.plausibility import JUDGING_SESSIONS
from stock_assets.market.sessions import load_calendar
from stock_assets.partitions import Partitions, month_of
from stock_assets.planning.lineage import Lineage, Rules, Span, Window
from stock_assets.resources.model_settings import settings_of_studies
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


def lineage_of(settings: Settings, partitions: Partitions) -> Lineage:
    """The lineage of every object there may be by now."""
    keys = partitions.sessions.get_partition_keys()
    return Lineage(rules_of(settings, partitions), keys)


def rules_of(settings: Settings, partitions: Partitions) -> Rules:
    from stock_assets.assets.study import search_month
    from stock_assets.assets.training_data import history_shortfall, split_of_month

    horizon, window = settings.horizon, settings.rmse_window
    spans: dict[tuple[str, date | None], Span | None] = {}

    def span(month: str, through: date | None) -> Span | None:
        if (month, through) not in spans:
            last = through or partitions.calendar.last_before(month_of(month))
            if history_shortfall(settings, partitions, month, last):
                spans[month, through] = None
            else:
                split = split_of_month(settings, partitions, month, last)
                spans[month, through] = Span(
                    split.train_first, split.train_last, split.test_first, split.trained_through
                )
        return spans[month, through]

    def lender(month: str) -> str:
        return search_month(month, settings.retune_months)

    return Rules(
        windows={
            Asset.FEATURES: [Window(Asset.RAW_PRICES, BAR_SESSIONS + 1)],
            Asset.DAILY_FORECAST: [Window(Asset.FEATURES, adaptive_history(horizon) + 1)],
            Asset.FORECAST_RMSE: [
                Window(Asset.DAILY_FORECAST, window, horizon),
                Window(Asset.RAW_PRICES, window + horizon + JUDGING_SESSIONS),
            ],
        },
        settings={
            Asset.FEATURES: {"members": settings.members_uri} if settings.members_uri else {},
            Asset.TUNED_MODEL: settings_of_studies(settings),
            Asset.REGISTERED_VERSION: {"gate_margin": settings.gate_margin},
            Asset.FORECAST_RMSE: {"rmse_window": window},
        },
        span=span,
        lender=lender,
    )
