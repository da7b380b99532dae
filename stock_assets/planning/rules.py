"""What the settings of a deployment make of the graph: the rules that lineage goes by."""

from datetime import date

from stock_assets.forecasting.features import BAR_SESSIONS
from stock_assets.forecasting.intervals import adaptive_history
from stock_assets.market.plausibility import JUDGING_SESSIONS
from stock_assets.partitions import Partitions, month_key, month_of, months_before
from stock_assets.planning.lineage import (
    DAILY_FORECAST,
    FEATURES,
    FORECAST_RMSE,
    RAW_PRICES,
    REGISTERED_VERSION,
    TUNED_MODEL,
    Lineage,
    Rules,
    Span,
    Window,
)
from stock_assets.resources.model_settings import settings_of_studies
from stock_assets.settings import Settings


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
            FEATURES: [Window(RAW_PRICES, BAR_SESSIONS + 1)],
            DAILY_FORECAST: [Window(FEATURES, adaptive_history(horizon) + 1)],
            FORECAST_RMSE: [
                Window(DAILY_FORECAST, window, horizon),
                Window(RAW_PRICES, window + horizon + JUDGING_SESSIONS),
            ],
        },
        settings={
            FEATURES: {"members": settings.members_uri} if settings.members_uri else {},
            TUNED_MODEL: settings_of_studies(settings),
            REGISTERED_VERSION: {"gate_margin": settings.gate_margin},
            FORECAST_RMSE: {"rmse_window": window},
        },
        span=span,
        lender=lender,
    )
