"""What settings and source make of a deployment: its sessions and months, and its lineage."""

from stock_assets.asset_keys import Asset
from stock_assets.forecasting.features import BAR_SESSIONS
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.forecasting.training_months import TrainingMonths
from stock_assets.market.plausibility import JUDGING_SESSIONS
from stock_assets.market.sessions import load_calendar
from stock_assets.partitions import Partitions, partition_keys
from stock_assets.planning.lineage import Lineage, Rules, Window
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
    keys = partition_keys(partitions.sessions)
    return Lineage(rules_of(settings, partitions), keys)


def rules_of(settings: Settings, partitions: Partitions) -> Rules:
    """By what rules each asset is made of which."""
    horizon, window = settings.horizon, settings.rmse_window
    months = training_months(settings, partitions)
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
        months=months,
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
