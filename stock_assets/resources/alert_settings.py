"""When a deployment's errors are news: its settings as the rules of `monitoring`."""

from stock_assets.monitoring.episodes import Rules
from stock_assets.monitoring.thresholds import Measure, Thresholds
from stock_assets.settings import Settings


def thresholds_of(settings: Settings) -> Thresholds:
    """The limits that a deployment chose."""
    for_all = {
        Measure.RETURN: settings.rmse_threshold,
        Measure.USD: settings.rmse_threshold_usd,
        Measure.RATIO: settings.rmse_threshold_ratio,
    }
    return Thresholds(
        of_all={measure: limit for measure, limit in for_all.items() if limit is not None},
        of_one={
            Measure.RETURN: settings.rmse_threshold_by_ticker,
            Measure.USD: settings.rmse_threshold_usd_by_ticker,
            Measure.RATIO: settings.rmse_threshold_ratio_by_ticker,
        },
        hysteresis=settings.rmse_hysteresis,
    )


def rules_of(settings: Settings) -> Rules:
    """When an episode ends: a breach is void once nothing of it is left in the rolling window."""
    return Rules(settings.rmse_recovery_sessions, settings.rmse_window)
